"""Dashboards, data sources, what makes them (`build`) and what draws them (`preview`)."""
