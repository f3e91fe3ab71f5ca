"""How sessions are opened: with exact integer products where the processor's fast ones are not."""

import pytest

from rsmoe_export.reference import session


@pytest.mark.parametrize(
    ("machine", "flags", "expected"),
    [
        ("x86_64", "fma avx2", True),
        ("x86_64", "avx2 avx512f avx512_vnni", False),
        ("x86_64", "avx2 avx_vnni", False),
        ("x86_64", None, True),  # no /proc: not known
        ("aarch64", "asimd", False),
    ],
)
def test_exact_products_are_asked_for_on_x86_64_without_vnni(monkeypatch, tmp_path, machine, flags, expected):
    facts = tmp_path / "cpuinfo"
    if flags is not None:
        facts.write_text(f"flags\t\t: {flags}\n", encoding="utf-8")
    monkeypatch.setattr(session, "CPU_FACTS", facts)
    monkeypatch.setattr(session.platform, "machine", lambda: machine)
    assert session.has_inexact_products() == expected
