from .fetch import DataNotFound as DataNotFound
from .fetch import Dataset as Dataset
from .fetch import find as find
from .text import book_corpus as book_corpus
from .text import embedded_songs as embedded_songs
from .text import read_corpus as read_corpus
from .text import read_text as read_text
