"""What people read about a run: tables, figures and pages.

Everything here reads the files of a run folder, never a model.
"""
