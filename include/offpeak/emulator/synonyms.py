"""Words that mean nearly the same to a customer: general banking and service English.

Each line is one concept. A stem may belong to several; it then counts for all of them.
"""

from __future__ import annotations

from functools import lru_cache

from offpeak.emulator.text import stem

GROUPS = (
    "cancel revoke undo stop withdraw mistake",
    "arrive arrival come deliver delivery receive mail post ship track",
    "terminate close delete remove end quit leave",
    "activate enable start unlock begin",
    "block lock freeze frozen stuck attempt wrong tries tried",
    "passcode password login code access",
    "pin code",
    "forgotten forget forgot remember reset lost",
    "lost lose missing misplace disappear gone find stolen",
    "stolen steal theft robbed thief",
    "compromise fraud hack stolen unauthorized copied suspicious scam someone else",
    "decline deny reject refuse fail",
    "fail failed unsuccessful work error wrong problem through",
    "pending processing wait progress long clear yet still",
    "revert return returned back reverse cancel",
    "refund money-back reimburse return back",
    "charge fee cost price pay extra bill",
    "fee charge cost",
    "twice double duplicate two multiple times again repeated",
    "recognised recognize know familiar strange unknown didn't unauthorized made authorize",
    "verify verification prove proof confirm identity identification check",
    "identity id identification document passport selfie who",
    "edit change update modify correct new",
    "personal details name address phone married moved",
    "age old young child children kid minimum year teenager daughter son",
    "limit maximum max cap restrict many much",
    "atm machine cashpoint cash withdraw",
    "withdrawal withdraw atm cash took",
    "cash money notes coins dollar pound",
    "cheque check deposit",
    "transfer send sent wire move",
    "beneficiary recipient payee friend person",
    "recipient receiver friend someone",
    "receiving receive salary paid incoming get",
    "timing time long how when take hours day",
    "estimate time long when take days expect",
    "exchange convert conversion foreign currency rate swap",
    "currency currencies fiat dollar euro pound gbp usd eur foreign",
    "country countries abroad europe world travel location nation region live",
    "support supported accept allow use available work offer",
    "acceptance accept shop store merchant where use anywhere",
    "supported accept allow which",
    "physical actual real plastic",
    "virtual online digital disposable",
    "disposable single temporary one-time throwaway",
    "spare second extra additional another",
    "order request get obtain want need",
    "link connect add attach",
    "expire expiry expiration due soon end",
    "swallowed ate eaten took kept retained swallow stuck keep",
    "contactless tap wireless nfc touch",
    "balance account funds money amount",
    "updated show reflect appear display",
    "showing show appear display statement see",
    "source funds come origin from where",
    "automatic auto automatically",
    "wrong incorrect different less mistake off not",
    "amount quantity sum",
    "google android apple iphone pay watch",
    "top-up top topup topping load reload add",
    "topping top topped load",
    "phone mobile device cell",
    "visa mastercard brand",
    "payment purchase pay paid buy bought transaction",
    "statement listed history shows app",
    "direct debit subscription recurring",
    "card credit debit",
    "late delay overdue behind",
    "urgent high asap immediately emergency critical now",
    "complaint complain unhappy angry terrible awful disappointed",
    "question ask wonder curious inquiry",
    "bug crash broken error defect",
    "positive good great love excellent happy nice wonderful amazing",
    "negative bad poor hate awful terrible worst disappointed",
    "billing invoice bill payment charge",
    "technical bug error crash login broken install",
    "shipping delivery package parcel courier order",
)


@lru_cache(maxsize=65_536)
def concepts(stemmed: str) -> tuple[str, ...]:
    """The stem itself and the concepts it stands for."""
    return (stemmed, *_BY_STEM.get(stemmed, ()))


def _index() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for group in GROUPS:
        words = group.split()
        for word in words:
            found.setdefault(stem(word), []).append("#" + words[0])
    return {word: tuple(dict.fromkeys(names)) for word, names in found.items()}


_BY_STEM = _index()
