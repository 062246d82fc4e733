"""Cut the font that figures write Chinese with from Noto Sans CJK (SIL Open Font License 1.1, see OFL.txt).

    apt-get install fonts-noto-cjk
    python datasets/fonts/make_font.py /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc

It keeps ASCII, Chinese punctuation, the 3,755 characters of GB 2312's first level, and those of the embedded songs.
"""

import sys
from pathlib import Path

from fontTools import subset

HERE = Path(__file__).resolve().parent
NAME = "Gluonbook CJK"
SIMPLIFIED_CHINESE = 2  # its place in the collection
COMMON_NAMES = (1, 4, 16)  # family, full name, typographic family: what matplotlib finds a font by


def first_level():
    """Return the characters of GB 2312's first level, rows 16 to 55, in its order (by pronunciation)."""
    codes = (bytes([row, cell]) for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF))
    return "".join(code.decode("gb2312", errors="ignore") for code in codes)


def main(collection):
    songs = (HERE.parent / "lyrics" / "songs.txt").read_text(encoding="utf-8")
    options = subset.Options(font_number=SIMPLIFIED_CHINESE, hinting=False, layout_features=[], name_IDs=["*"])
    font = subset.load_font(collection, options)
    cutter = subset.Subsetter(options)
    cutter.populate(text="".join(map(chr, range(32, 127))) + "，。！？：；、“”‘’（）《》…—·" + first_level() + songs)
    cutter.subset(font)
    for name in COMMON_NAMES:
        font["name"].setName(NAME, name, 3, 1, 0x409)
        font["name"].removeNames(nameID=name, platformID=1)
    top = font["CFF "].cff
    top.fontNames = [NAME.replace(" ", "")]
    top.topDictIndex[0].FullName = top.topDictIndex[0].FamilyName = NAME
    subset.save_font(font, str(HERE / "gluonbook-cjk.otf"), options)


if __name__ == "__main__":
    main(sys.argv[1])
