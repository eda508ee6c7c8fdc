"""Facts that cross a feature or process boundary. Versioned: never edited, only superseded."""
