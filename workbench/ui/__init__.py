"""Views of a campaign in a notebook: projections of its journal that hold nothing worth keeping.

`palette`, `plots`, `utilization`, `makespan` and `progress` make the figures, for the live view and for the report.
Importing the package loads none of them, because a report's colours are read without Bokeh.
"""
