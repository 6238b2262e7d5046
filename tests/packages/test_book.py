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
    settle(site, page)


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


def settle(site, page):
    """What a page promises beside what its commands print."""
    if page == "tutorial.md":
        # What systemd thinks of a unit's confinement: 0 is best, 10 is none at all.
        for place, unit, most in ((site.server, "sekisho", 2.5), (site.machine, "sekisho-agent", 6.0)):
            printed = place.shell(f"systemd-analyze security --no-pager {unit}.service | tail -1")
            exposure = float(re.search(r": (\d+\.\d+)", printed).group(1))
            assert exposure <= most, printed
        # Nobody but the server and root reads what it keeps, and the machine's secret is spent and nowhere left.
        assert site.server.shell("stat -c '%U %a' /var/lib/sekisho /var/lib/sekisho/keys") == "sekisho 700\nsekisho 700\n"
        assert site.machine.shell("! grep --recursive --files-with-matches skj1 /root /etc /var/lib /tmp /run/log") == ""
    if page == "how-to/upgrade.md":
        assert site.server.shell("sekisho --version") == "sekisho 0.1.0\n"
        assert site.machine.shell("sekisho-agent --version") == "sekisho-agent 0.1.0\n"
        # What was set and what was obeyed before is so after.
        assert "sekisho.example" in site.server.shell("cat /etc/sekisho/sekisho.toml")
        closed = site.desk.attempt("curl --silent --max-time 1 http://web.example:8080/")
        assert closed.returncode == 28
    if page == "how-to/remove.md":
        assert site.machine.attempt("nft list table inet sekisho").returncode != 0
        site.desk.shell("curl --silent --fail --max-time 5 --output /dev/null http://web.example:8080/")
        site.machine.shell("test ! -e /var/lib/sekisho-agent && test ! -e /usr/bin/sekisho-agent")
        site.server.shell("test -e /var/lib/sekisho/keys/ca.pem && test ! -e /etc/sekisho && test ! -e /usr/bin/sekisho")
