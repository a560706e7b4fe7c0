"""What the notebooks use: live source, figures with alternative text, recorded guesses, checked exercises."""

from minida.teach.checks import Exercise, check, exercise
from minida.teach.figures import LiveCurves, figure, picture
from minida.teach.guesses import compare, guess
from minida.teach.source import show

__all__ = ["Exercise", "LiveCurves", "check", "compare", "exercise", "figure", "guess", "picture", "show"]
