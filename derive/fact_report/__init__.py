"""Facts beside their evidence: marked texts, and a report as one HTML file."""
