"""Escapes of control characters: no value can forge a line, colour a terminal or reverse text."""

CONTROL = {
    **{code: f"\\x{code:02x}" for code in range(32)},
    **{  # DEL and C1, line and paragraph separators, marks that change the direction of text
        code: f"\\u{code:04x}"
        for code in (*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
    },
}
CONTROL_IN_LINES = {code: text for code, text in CONTROL.items() if chr(code) != "\n"}
