"""From results.json to words and pictures: schema, load, stats, verdict, plots, text. No function here measures."""
