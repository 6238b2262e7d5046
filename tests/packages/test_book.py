"""The book, followed to the letter on machines made of our packages: every command of every page."""

import re
import time

import pytest

from book import BOOK, blocks, pages

# Pages in other languages show the same commands.
TRANSLATED = {"ja/tutorial.md": "tutorial.md"}


def test_every_page_is_in_the_table_of_contents_and_every_link_leads_somewhere():
    listed = set(pages())
    there = {str(p.relative_to(BOOK)) for p in BOOK.rglob("*.md")} - {"SUMMARY.md"}
    assert there == listed
    for page in listed:
        for link in re.findall(r"\]\(([^)#:]+)[^):]*\)", (BOOK / page).read_text()):
            assert (BOOK / page).parent.joinpath(link).exists(), f"{page} leads to {link}"


@pytest.mark.parametrize("page", [p for p in pages() if p in TRANSLATED])
def test_a_translated_page_has_the_commands_of_the_original(page):
    commands = [(b.place, b.text) for b in blocks(page)]
    assert commands == [(b.place, b.text) for b in blocks(TRANSLATED[page])]


@pytest.mark.parametrize("page", [p for p in pages() if p not in TRANSLATED and blocks(p)])
def test_the_commands_of_the_page_work_in_their_order(site, page):
    prepare(site, page)
    for block in blocks(page):
        run(site, block)


def run(site, block):
    place = {"server": site.server, "machine": site.machine, "desk": site.desk}[block.place]
    script = block.text
    if block.options.get("new"):
        script = f"cd /packages/new\n{script}"
    wanted, deadline = block.options.get("prints"), time.monotonic() + float(block.options.get("within", 0))
    while True:
        printed = place.shell(script)
        if wanted is None or wanted in printed:
            break
        assert time.monotonic() < deadline, f"{block.page} prints {printed!r} and not {wanted!r}:\n{script}"
    if target := block.options.get("paste"):
        getattr(site, target).shell(printed)


def prepare(site, page):
    """What a page takes for granted."""
    if page == "how-to/certificate.md":
        # A certificate of another authority, for the server's name.
        site.server.shell(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj '/CN=Example CA'"
            " -keyout other.key -out other.pem 2> /dev/null\n"
            "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=sekisho.example'"
            " -keyout privkey.pem -out request.pem 2> /dev/null\n"
            "printf 'subjectAltName=DNS:sekisho.example' > names\n"
            "openssl x509 -req -in request.pem -CA other.pem -CAkey other.key -CAcreateserial -days 60 -extfile names"
            " -out leaf.pem 2> /dev/null\n"
            "cat leaf.pem other.pem > fullchain.pem"
        )
    if page == "how-to/doctor.md":
        # From here on the desk trusts the authority of the page before.
        pem = site.server.shell("cat /etc/sekisho/tls/fullchain.pem")
        site.desk.shell("cat > ca.pem", stdin=pem)
    if page == "how-to/postgresql.md":
        site.server.shell("pg_lsclusters --no-header | grep -q . || pg_createcluster 15 main > /dev/null\npg_ctlcluster 15 main start || true")
