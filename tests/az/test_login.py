"""Signing in: the documents that clients read, tokens, and what a refused client is told."""

import base64
import json
import uuid

import pytest

from support import ROLES, Api, Az, error_of, token_answer, token_of

AZURE = ["name", "resourceManager", "microsoftGraphResourceId", "batch", "media", "logAnalyticsResourceId",
         "attestationResourceId", "synapseAnalyticsResourceId", "ossrDbmsResourceId"]
SUFFIXES = ["attestationEndpoint", "azureFrontDoorEndpointSuffix", "keyVaultDns", "mhsmDns", "mariadbServerEndpoint",
            "mysqlServerEndpoint", "postgresqlServerEndpoint", "sqlServerHostname", "storage",
            "storageSyncEndpointSuffix", "synapseAnalytics", "acrLoginServer"]


def claims_of(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_the_metadata_document_is_one_object_for_az(anonymous, ready):
    found = anonymous.must("GET", "/metadata/endpoints", "2022-09-01")
    assert found["authentication"]["loginEndpoint"] == ready.url
    assert found["authentication"]["audiences"][0] == f"{ready.url}/"
    assert found["authentication"]["tenant"] == "common"
    assert found["authentication"]["identityProvider"] == "AAD"
    assert found["resourceManager"] == ready.url
    assert found["microsoftGraphResourceId"] == ready.url
    assert found["name"] and found["name"] != "AzureStackCloud"
    assert all(isinstance(found[field], str) for field in AZURE)
    assert all(isinstance(found["suffixes"][field], str) for field in SUFFIXES)


@pytest.mark.parametrize("version", ["2019-05-01", "2020-06-01"])
def test_the_metadata_document_is_an_array_for_terraform(anonymous, ready, version):
    [found] = anonymous.must("GET", "/metadata/endpoints", version)
    assert found == anonymous.must("GET", "/metadata/endpoints", "2022-09-01")
    assert found["authentication"]["loginEndpoint"] == ready.url


def test_a_doubled_slash_before_metadata_is_forgiven(anonymous):
    # `az cloud register` with a trailing slash asks so.
    assert anonymous.must("GET", "//metadata/endpoints", "2022-09-01")["resourceManager"]


def test_the_metadata_document_names_the_host_that_the_client_used(ready):
    other = ready.url.replace("localhost", "127.0.0.1")
    found = Api(ready).must("GET", f"{other}/metadata/endpoints", "2022-09-01")
    assert found["resourceManager"] == other


def test_the_metadata_document_does_not_repeat_a_foreign_host_name(anonymous, ready):
    found = anonymous.must("GET", "/metadata/endpoints", "2022-09-01", headers={"host": "evil.example"})
    assert "evil.example" not in json.dumps(found)


def test_the_adfs_layout_differs_in_the_login_endpoint_only(anonymous, ready):
    found = anonymous.must("GET", "/adfsm/metadata/endpoints", "2022-09-01")
    usual = anonymous.must("GET", "/metadata/endpoints", "2022-09-01")
    assert found["authentication"].pop("loginEndpoint") == f"{ready.url}/adfs"
    usual["authentication"].pop("loginEndpoint")
    assert found == usual


@pytest.mark.parametrize("segment", ["organizations", "common", "localhost", "{tenant}"])
def test_openid_configuration_keeps_the_tenant_segment_that_was_asked(anonymous, ready, segment):
    segment = segment.format(tenant=ready.tenant)
    found = anonymous.must("GET", f"/{segment}/v2.0/.well-known/openid-configuration")
    assert found["authorization_endpoint"] == f"{ready.url}/{segment}/oauth2/v2.0/authorize"
    assert found["token_endpoint"] == f"{ready.url}/{segment}/oauth2/v2.0/token"
    assert found["issuer"] == f"{ready.url}/{ready.tenant}/v2.0"
    assert found["jwks_uri"].startswith(ready.url)


def test_openid_configuration_of_adfs_has_no_version_in_its_paths(anonymous, ready):
    found = anonymous.must("GET", "/adfs/.well-known/openid-configuration")
    assert found["token_endpoint"] == f"{ready.url}/adfs/oauth2/token"
    assert found["authorization_endpoint"] == f"{ready.url}/adfs/oauth2/authorize"


@pytest.mark.parametrize("tenant", ["contoso.test", "11111111-2222-3333-4444-555555555555"])
def test_an_unknown_tenant_is_refused_in_azures_words(anonymous, ready, tenant):
    for answer in [anonymous.get(f"/{tenant}/v2.0/.well-known/openid-configuration"),
                   token_answer(ready, f"{ready.url}//.default", tenant=tenant)]:
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_tenant"
        assert answer.json()["error_description"].startswith("AADSTS90002")


def test_az_says_that_an_unknown_tenant_is_unknown(ready, tmp_path):
    az = Az(ready, tmp_path)
    az.register()
    az.fails("login", "--service-principal", "-u", ready.app_id, "-p", "x", "--tenant", "contoso.test",
             says=["contoso.test", "AADSTS90002"])


def test_the_five_commands_sign_a_stock_az_in(ready, tmp_path):
    az = Az(ready, tmp_path, instance_discovery=None)
    az("cloud", "register", "-n", "five", "--endpoint-resource-manager", ready.url)
    az("cloud", "set", "-n", "five")
    az("config", "set", "core.instance_discovery=false")
    [account] = az.login()
    assert account["id"] == ready.subscription_id
    assert account["tenantId"] == ready.tenant
    assert account["state"] == "Enabled"
    assert account["user"] == {"name": ready.app_id, "type": "servicePrincipal"}
    assert az("account", "show")["id"] == ready.subscription_id
    az("account", "set", "-s", ready.subscription_id)
    assert [a["id"] for a in az("account", "list")] == [ready.subscription_id]
    assert [a["id"] for a in az("account", "list", "--refresh")] == [ready.subscription_id]
    token = az("account", "get-access-token")
    assert token["tenant"] == ready.tenant
    assert claims_of(token["accessToken"])["aud"] == f"{ready.url}/"
    az("logout")
    az.fails("group", "list", says="az login")


def test_az_needs_no_setting_with_the_adfs_layout(ready, tmp_path):
    az = Az(ready, tmp_path, instance_discovery=None)
    az.register(f"{ready.url}/adfsm")
    [account] = az.login()
    assert account["id"] == ready.subscription_id
    assert any(g["name"] == ready.group_name for g in az("group", "list"))


def test_a_wrong_secret_is_refused_in_a_clean_configuration(ready, tmp_path):
    az = Az(ready, tmp_path)
    az.register()
    az.fails("login", "--service-principal", "-u", ready.app_id, "-p", "wrong", "--tenant", ready.tenant,
             says="AADSTS7000215: Invalid client secret provided.")


def test_a_wrong_secret_and_an_unknown_client_are_oauth_errors(ready):
    scope = f"{ready.url}//.default"
    answer = token_answer(ready, scope, secret="wrong")
    assert answer.status_code == 401
    body = answer.json()
    assert body["error"] == "invalid_client"
    assert body["error_codes"] == [7000215]
    assert {"error_description", "timestamp", "trace_id", "correlation_id"} <= set(body)
    answer = token_answer(ready, scope, app=str(uuid.uuid4()))
    assert answer.status_code in (400, 401)
    assert answer.json()["error"] in ("unauthorized_client", "invalid_client")
    assert answer.json()["error_description"].startswith("AADSTS700016")


@pytest.mark.parametrize(
    ("scope", "audience"),
    [("{url}//.default", "{url}/"), ("{url}/.default", "{url}"),
     ("https://management.azure.com/.default", "https://management.azure.com"),
     ("https://management.core.windows.net//.default", "https://management.core.windows.net/")],
)
def test_tokens_for_every_audience_that_clients_ask_open_arm_and_graph(ready, scope, audience):
    answer = token_answer(ready, scope.format(url=ready.url))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] >= 600
    assert set(body) == {"token_type", "expires_in", "ext_expires_in", "access_token"}
    claims = claims_of(body["access_token"])
    assert claims["aud"] == audience.format(url=ready.url)
    assert claims["tid"] == ready.tenant
    assert claims["iss"] == f"{ready.url}/{ready.tenant}/v2.0"
    assert ready.app_id in (claims.get("appid"), claims.get("azp"))
    api = Api(ready, body["access_token"])
    assert api.get("/subscriptions", "2022-12-01").status_code == 200
    assert api.get("/v1.0/servicePrincipals").status_code == 200


def test_a_token_for_somebody_elses_audience_is_not_issued(ready):
    answer = token_answer(ready, "https://vault.azure.net/.default")
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_scope", "invalid_resource")


def test_a_request_without_a_token_is_told_where_to_get_one(anonymous, ready):
    answer = anonymous.get(f"{ready.subscription}/resourceGroups", "2024-11-01")
    error = error_of(answer, 401, "AuthenticationFailed")
    assert error["message"] == "Authentication failed. The 'Authorization' header is missing."
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'Bearer authorization_uri="{ready.url}/{ready.tenant}"')
    assert 'error="invalid_token"' in challenge
    assert "insufficient_claims" not in challenge


@pytest.mark.parametrize("value", ["Bearer", "Bearer x", "Basic dXNlcjpwYXNz", "Bearer a.b.c", ""])
def test_what_is_no_token_is_refused(ready, value):
    answer = Api(ready).get(f"{ready.subscription}/resourceGroups", "2024-11-01", headers={"authorization": value})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] in ("AuthenticationFailed", "InvalidAuthenticationToken")
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_an_altered_token_is_refused(ready):
    token = token_of(ready)
    head, body, signature = token.split(".")
    claims = claims_of(token)
    claims["oid"] = str(uuid.uuid4())
    other = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    middle = len(signature) // 2
    flipped = signature[:middle] + ("A" if signature[middle] != "A" else "B") + signature[middle + 1:]
    for bad in [f"{head}.{other}.{signature}", f"{head}.{body}.{flipped}", f"{none}.{body}.", f"{head}.{body}."]:
        error_of(Api(ready, bad).get("/subscriptions", "2022-12-01"), 401, "InvalidAuthenticationToken")


def test_a_token_of_a_removed_secret_is_refused_at_once(ready, administrator):
    made = administrator.add_principal("az tests: removed secret")
    try:
        api = Api(ready, token_of(ready, app=made.app, secret=made.secret))
        assert api.get("/subscriptions", "2022-12-01").json()["value"] == []
        administrator.api.must("POST", f"/v1.0/applications/{made.application}/removePassword", body={"keyId": made.key})
        error_of(api.get("/subscriptions", "2022-12-01"), 401, "InvalidAuthenticationToken")
        refused = token_answer(ready, f"{ready.url}//.default", app=made.app, secret=made.secret)
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    finally:
        administrator.remove_application(made.application)


def test_a_token_of_a_disabled_or_removed_principal_is_refused_at_once(ready, administrator):
    made = administrator.add_principal("az tests: disabled")
    try:
        api = Api(ready, token_of(ready, app=made.app, secret=made.secret))
        assert api.get("/subscriptions", "2022-12-01").status_code == 200
        path = f"/v1.0/servicePrincipals/{made.principal}"
        administrator.api.must("PATCH", path, body={"accountEnabled": False})
        error_of(api.get("/subscriptions", "2022-12-01"), 401, "InvalidAuthenticationToken")
        assert token_answer(ready, f"{ready.url}//.default", app=made.app, secret=made.secret).status_code in (400, 401)
        administrator.api.must("PATCH", path, body={"accountEnabled": True})
        error_of(api.get("/subscriptions", "2022-12-01"), 401, "InvalidAuthenticationToken")
        api = Api(ready, token_of(ready, app=made.app, secret=made.secret))
        administrator.remove_application(made.application)
        error_of(api.get("/subscriptions", "2022-12-01"), 401, "InvalidAuthenticationToken")
    finally:
        administrator.remove_application(made.application)


def test_a_principal_without_any_right_sees_nothing_and_learns_nothing(ready, administrator, tmp_path):
    made = administrator.add_principal("az tests: nobody")
    try:
        api = Api(ready, token_of(ready, app=made.app, secret=made.secret))
        error_of(api.get(f"{ready.subscription}/resourceGroups", "2024-11-01"), 404, "SubscriptionNotFound")
        error_of(api.get(ready.group, "2024-11-01"), 404, "SubscriptionNotFound")
        error_of(api.put(f"{ready.subscription}/resourceGroups/x", "2024-11-01", {"location": "home"}), 404,
                 "SubscriptionNotFound")
        error_of(api.get("/v1.0/users"), 403, "Authorization_RequestDenied")
        az = Az(ready, tmp_path)
        az.register()
        az.fails("login", "--service-principal", "-u", made.app, "-p", made.secret, "--tenant", ready.tenant,
                 says=f"No subscriptions found for {made.app}.")
        assert az("login", "--service-principal", "-u", made.app, "-p", made.secret, "--tenant", ready.tenant,
                  "--allow-no-subscriptions")[0]["tenantId"] == ready.tenant
    finally:
        administrator.remove_application(made.application)


def test_a_reader_is_told_which_right_is_missing(ready, administrator, api):
    made = administrator.add_principal("az tests: reader")
    path = f"{ready.group}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}"
    role = f"{ready.subscription}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    try:
        api.must("PUT", path, ROLES, {"properties": {"roleDefinitionId": role, "principalId": made.principal,
                                                     "principalType": "ServicePrincipal"}})
        reader = Api(ready, token_of(ready, app=made.app, secret=made.secret))
        assert reader.get(ready.group, "2024-11-01").status_code == 200
        target = f"{ready.network()}/networkSecurityGroups/demo-nsg/securityRules/no"
        answer = reader.put(target, "2024-05-01", {"properties": {}})
        error = error_of(answer, 403, "AuthorizationFailed")
        assert error["message"] == (
            f"The client '{made.app}' with object id '{made.principal}' does not have authorization to perform action "
            f"'Microsoft.Network/networkSecurityGroups/securityRules/write' over scope '{target}' or the scope is "
            "invalid. If access was recently granted, please refresh your credentials."
        )
        error_of(reader.delete(f"{ready.network()}/networkSecurityGroups/demo-nsg", "2024-05-01"), 403, "AuthorizationFailed")
        api.must("DELETE", path, ROLES)
        error_of(reader.get(ready.group, "2024-11-01"), 404, "SubscriptionNotFound")
    finally:
        api.delete(path, ROLES)
        administrator.remove_application(made.application)


def test_tenants_subscriptions_and_locations_have_the_fields_az_reads(api, ready):
    [tenant] = api.must("GET", "/tenants", "2022-12-01")["value"]
    assert tenant["id"] == f"/tenants/{ready.tenant}"
    assert {"tenantId", "countryCode", "displayName", "domains", "defaultDomain", "tenantCategory"} <= set(tenant)
    [subscription] = api.must("GET", "/subscriptions", "2022-12-01")["value"]
    assert subscription["id"] == ready.subscription
    assert subscription["state"] == "Enabled"
    assert subscription["managedByTenants"] == []
    assert {"subscriptionId", "tenantId", "displayName", "subscriptionPolicies", "authorizationSource"} <= set(subscription)
    assert api.must("GET", ready.subscription, "2022-12-01")["subscriptionId"] == ready.subscription_id
    for location in api.must("GET", f"{ready.subscription}/locations", "2022-12-01")["value"]:
        assert location["type"] == "Region"
        assert {"id", "name", "displayName", "regionalDisplayName"} <= set(location)
        assert {"regionType", "regionCategory", "geographyGroup", "latitude", "longitude", "physicalLocation",
                "pairedRegion"} <= set(location["metadata"])


def test_every_answer_carries_its_request_id_and_repeats_the_clients_only_on_request(api):
    own = str(uuid.uuid4())
    answer = api.get("/subscriptions", "2022-12-01", headers={"x-ms-client-request-id": own})
    uuid.UUID(answer.headers["x-ms-request-id"])
    uuid.UUID(answer.headers["x-ms-correlation-request-id"])
    assert "x-ms-client-request-id" not in answer.headers
    answer = api.get("/subscriptions", "2022-12-01", headers={
        "x-ms-client-request-id": own, "x-ms-return-client-request-id": "true"})
    assert answer.headers["x-ms-client-request-id"] == own
