"""What is wrong with a resource on its way in or out of XML, its place told as it is left behind."""

from resources.outcome import Invalid


class Misfit(Exception):
    """A value that the definitions have no place for; `steps` grow from the inside to the outside."""

    def __init__(self, sentence: str, code: str = "structure") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code
        self.steps: list[str] = []

    def told(self) -> Invalid:
        """Give the refusal, with the FHIRPath of the place and nothing of the value."""
        place = ".".join(step for step in reversed(self.steps) if step)
        return Invalid(self.sentence, issue=self.code, expression=place or None)
