"""The report of a run: one page for people and the same facts as JSON, in any state of the run."""

from offpeak.report.facts import Facts, gather
from offpeak.report.write import write_report

__all__ = ["Facts", "gather", "write_report"]
