"""For classes that have nbgrader: `pip install nbgrader`, then its own commands in this folder (see INSTRUCTOR.md)."""

from pathlib import Path

c = get_config()  # noqa: F821 (nbgrader provides it)
c.CourseDirectory.course_id = "minida"
c.CourseDirectory.root = str(Path.cwd())
c.ExecutePreprocessor.timeout = 120
