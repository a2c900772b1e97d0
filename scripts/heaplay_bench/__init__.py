"""What programs.py, micro.py, scoreboard.py and make_traces.py share: allocators, starting programs, documents."""
