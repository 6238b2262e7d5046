"""Azure's service tags: the file that Microsoft publishes, imported with `az rest`, listed and named as in Azure."""

import json
import uuid

import pytest

SET = "/providers/Sekisho.Network/serviceTagSets/azure?api-version=2026-11-01"


def tag(name, *prefixes):
    return {"name": name, "id": name, "properties": {
        "changeNumber": 7, "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureStorage",
        "addressPrefixes": list(prefixes), "networkFeatures": ["API", "NSG", "UDR", "FW"]}}


@pytest.fixture
def file(tmp_path, api, owner_of_everything):
    path = tmp_path / "ServiceTags_Public.json"
    path.write_text(json.dumps({"changeNumber": 63, "cloud": "Public", "values": [
        tag("Storage", "203.0.113.0/24", "2603:1040:400::/46"), tag("Storage.JapanEast", "203.0.113.0/28")]}, indent=2))
    yield path
    api.must("DELETE", SET.split("?", maxsplit=1)[0], "2026-11-01")


def test_a_file_of_service_tags_is_imported_listed_and_named_in_a_rule(az, group_name, owner_of_everything, file):
    az("rest", "--method", "put", "--url", SET, "--body", f"@{file}")
    shown = az("network", "list-service-tags", "-l", "home")
    assert (shown["changeNumber"], shown["cloud"], shown["type"]) == ("63", "Public", "Microsoft.Network/serviceTags")
    regional = next(v for v in shown["values"] if v["name"] == "Storage.JapanEast")
    assert regional["properties"]["addressPrefixes"] == ["203.0.113.0/28"]
    nsg = f"nsg-{uuid.uuid4().hex[:8]}"
    az("network", "nsg", "create", "-g", group_name, "-n", nsg, "-l", "home")
    rule = ["network", "nsg", "rule", "create", "-g", group_name, "--nsg-name", nsg, "--priority", "200",
            "--source-address-prefixes"]
    made = az(*rule, "Storage.JapanEast", "-n", "storage")
    assert made["sourceAddressPrefix"] == "Storage.JapanEast"
    az.fails(*rule, "Storage.Nowhere", "-n", "nowhere", says="SecurityRuleInvalidAddressPrefix")
    az("network", "nsg", "delete", "-g", group_name, "-n", nsg)
