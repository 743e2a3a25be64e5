"""Text: a corpus, tokenizers learned from it, and what turns tokens into training examples.

Each algorithm stands here twice: as a few lines to read, and as a class that uses the library ``tokenizers``, which
gives the same tokens faster. Import each module by name, as in ``from course_lib.text.wordpiece import WordPiece``.
"""
