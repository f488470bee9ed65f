"""What attackers of a trade can do to a row, with the reasons: intrusion, malware, phishing, spam, fraud, health."""
