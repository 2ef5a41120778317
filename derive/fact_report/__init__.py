"""Facts beside their proof: evidence with marked places, and a report of facts as one HTML file."""
