"""Offpeak's pages inside Airflow's UI, in the api-server. `app.pages_app` makes them; they only read."""
