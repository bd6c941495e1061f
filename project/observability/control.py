"""Control characters as text: no value forges a line, colours a terminal or turns its direction."""

CONTROL = {
    **{code: f"\\x{code:02x}" for code in range(32)},
    **{  # DEL and C1, line and paragraph separators, marks that turn the direction of text
        code: f"\\u{code:04x}"
        for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    },
}
CONTROL_IN_LINES = {code: text for code, text in CONTROL.items() if chr(code) != "\n"}
