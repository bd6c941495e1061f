"""Where it runs: a folder for each platform, with a page that leads to the first prediction."""
