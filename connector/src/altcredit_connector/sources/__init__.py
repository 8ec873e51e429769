"""Where documents come from: CSV exports, Tally Prime, SAP Business One."""
