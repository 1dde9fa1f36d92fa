"""HL7 v2 segments that tests write, field by number."""


def segment(name, **fields):
    """Give a segment of fields named f1, f2 …; MSH gets its separators."""
    numbered = {int(number[1:]): value for number, value in fields.items()}
    first = 3 if name == "MSH" else 1
    values = [numbered.get(n, "") for n in range(first, max(numbered, default=0) + 1)]
    return "|".join([r"MSH|^~\&" if name == "MSH" else name, *values])


def text(*segments):
    """Give a message's bytes, segments ended by CR."""
    return "".join(f"{each}\r" for each in segments if each).encode()
