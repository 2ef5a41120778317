"""Alerts: rules are checked every minute, and what they find is sent to a webhook and by e-mail.

``measuring`` reads what each kind of rule watches, by bounded queries. ``evaluation`` compares that with the open
alerts and writes messages in the same transaction. ``delivering`` sends each message to each destination, at least
once: it is recorded as delivered only after the receiver accepted it, so a crash in between sends it again, with the
same id. Destinations come from the settings alone; no row of the database can name one.
"""
