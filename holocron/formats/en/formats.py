"""As the pages of our own write them, with seconds: a run seldom takes a minute."""

DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = "Y-m-d H:i:s"
