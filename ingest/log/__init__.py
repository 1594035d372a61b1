"""The log: one seam, and the two that stand behind it, Apache Kafka and one SQLite file."""
