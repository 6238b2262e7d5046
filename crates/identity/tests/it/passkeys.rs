//! Registration and authentication, whole.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sekisho_identity::Person;
use sekisho_identity::passkey::{
    Answer, Authentication, CEREMONY, MAX_PER_PERSON, PasskeyError, Passkeys, Prompt, Purpose, Registration,
    StoredPasskey,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;
use webauthn_authenticator_rs::WebauthnAuthenticator;
use webauthn_authenticator_rs::softpasskey::SoftPasskey;
use webauthn_rs::prelude::Url;

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
const ORIGIN: &str = "https://localhost:8443";

fn passkeys() -> Passkeys {
    Passkeys::new("localhost", ORIGIN, "Sekisho").unwrap()
}

fn person() -> Person {
    Person::new("jo@contoso.test", "Jo", NOW).unwrap()
}

/// The database in between: what cannot be written and read back would be lost.
fn stored<T: serde::Serialize + serde::de::DeserializeOwned>(value: T) -> T {
    serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap()
}

fn create(device: &mut SoftPasskey, origin: &str, options: Value) -> Value {
    let options = serde_json::from_value(options).unwrap();
    let answer = device.do_registration(Url::parse(origin).unwrap(), options).unwrap();
    serde_json::to_value(answer).unwrap()
}

/// The software authenticator leaves the user handle out and needs the credential named; a browser does both itself.
fn get(device: &mut SoftPasskey, mut options: Value, key: &StoredPasskey) -> Value {
    if options["publicKey"]["allowCredentials"].as_array().is_none_or(Vec::is_empty) {
        options["publicKey"]["allowCredentials"] = json!([{"type": "public-key", "id": key.id}]);
    }
    let options = serde_json::from_value(options).unwrap();
    let answer = device.do_authentication(Url::parse(ORIGIN).unwrap(), options).unwrap();
    let mut answer = serde_json::to_value(answer).unwrap();
    answer["response"]["userHandle"] = json!(URL_SAFE_NO_PAD.encode(key.person.as_bytes()));
    answer
}

fn register(device: &mut SoftPasskey, person: &Person) -> StoredPasskey {
    let (options, state) = passkeys().start_registration(person, &[], NOW).unwrap();
    let state: Registration = stored(state);
    let answer = create(device, ORIGIN, options);
    stored(passkeys().finish_registration(&state, answer, " Laptop\n", NOW).unwrap())
}

#[test]
fn a_person_registers_a_passkey_and_signs_in_without_typing_a_name() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let mut key = register(&mut device, &jo);
    assert_eq!((key.label.as_str(), key.person), ("Laptop", jo.id));

    for prompt in [Prompt::Autofill, Prompt::Dialog] {
        let (options, state) = passkeys().start_sign_in(prompt, NOW).unwrap();
        assert_eq!(options.get("mediation").is_some(), prompt == Prompt::Autofill);
        assert_eq!(options["publicKey"]["userVerification"], "required");
        let state: Authentication = stored(state);
        let answer = Answer::read(get(&mut device, options, &key)).unwrap();
        assert_eq!(answer.credential, key.id);
        passkeys().finish(state, &answer, &Purpose::SignIn, &mut key, NOW).unwrap();
        assert_eq!(key.last_used, Some(NOW));
        key = stored(key);
    }
}

#[test]
fn the_options_ask_for_a_discoverable_verified_credential_and_exclude_existing_ones() {
    let jo = person();
    let key = register(&mut SoftPasskey::new(true), &jo);
    let (options, _) = passkeys().start_registration(&jo, std::slice::from_ref(&key), NOW).unwrap();
    let public = &options["publicKey"];
    assert_eq!(public["authenticatorSelection"]["residentKey"], "preferred");
    assert_eq!(public["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(public["excludeCredentials"][0]["id"], key.id);
    assert_eq!(public["user"]["id"], URL_SAFE_NO_PAD.encode(jo.id.as_bytes()));
    assert_eq!(public["rp"]["id"], "localhost");
    let many = vec![key; MAX_PER_PERSON];
    assert_eq!(passkeys().start_registration(&jo, &many, NOW).unwrap_err(), PasskeyError::TooMany);
}

#[test]
fn a_ceremony_ends_after_five_minutes_and_belongs_to_its_challenge() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let (options, state) = passkeys().start_registration(&jo, &[], NOW).unwrap();
    let answer = create(&mut device, ORIGIN, options);
    let (_, other) = passkeys().start_registration(&jo, &[], NOW).unwrap();
    let finish = |state: &Registration, now| passkeys().finish_registration(state, answer.clone(), "", now);
    assert_eq!(finish(&state, NOW + CEREMONY).unwrap_err(), PasskeyError::Expired);
    assert_eq!(finish(&other, NOW).unwrap_err(), PasskeyError::Refused);
    let mut key = finish(&state, NOW).unwrap();

    let (options, state) = passkeys().start_sign_in(Prompt::Dialog, NOW).unwrap();
    let (_, other) = passkeys().start_sign_in(Prompt::Dialog, NOW).unwrap();
    let answer = Answer::read(get(&mut device, options, &key)).unwrap();
    let mut finish = |state, now| passkeys().finish(state, &answer, &Purpose::SignIn, &mut key, now);
    assert_eq!(finish(state.clone(), NOW + CEREMONY).unwrap_err(), PasskeyError::Expired);
    assert_eq!(finish(other, NOW).unwrap_err(), PasskeyError::Refused);
    assert_eq!(finish(state, NOW), Ok(()));
}

#[test]
fn a_page_of_another_origin_gets_nowhere() {
    let mut device = SoftPasskey::new(true);
    let (options, state) = passkeys().start_registration(&person(), &[], NOW).unwrap();
    let answer = create(&mut device, "https://localhost:9999", options);
    assert_eq!(passkeys().finish_registration(&state, answer, "", NOW).unwrap_err(), PasskeyError::Refused);
}

#[test]
fn without_user_verification_there_is_no_passkey() {
    let (options, state) = passkeys().start_registration(&person(), &[], NOW).unwrap();
    let options = serde_json::from_value(options).unwrap();
    let Ok(answer) = SoftPasskey::new(false).do_registration(Url::parse(ORIGIN).unwrap(), options) else {
        return;
    };
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(passkeys().finish_registration(&state, answer, "", NOW).unwrap_err(), PasskeyError::Refused);
}

#[test]
fn a_copied_key_whose_counter_went_back_is_suspended() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let mut key = register(&mut device, &jo);
    let begin = || passkeys().start_sign_in(Prompt::Dialog, NOW).unwrap();
    let (options, first) = begin();
    let early = Answer::read(get(&mut device, options, &key)).unwrap();
    let (options, second) = begin();
    let late = Answer::read(get(&mut device, options, &key)).unwrap();
    // The later signature arrives first: from then on the earlier counter is a sign of a copy.
    passkeys().finish(second, &late, &Purpose::SignIn, &mut key, NOW).unwrap();
    let refused = passkeys().finish(first, &early, &Purpose::SignIn, &mut key, NOW).unwrap_err();
    assert_eq!(refused, PasskeyError::Suspended);
    assert!(key.suspended);
    let (options, state) = begin();
    let answer = Answer::read(get(&mut device, options, &key)).unwrap();
    let again = passkeys().finish(state, &answer, &Purpose::SignIn, &mut key, NOW).unwrap_err();
    assert_eq!(again, PasskeyError::Suspended);
    assert_eq!(
        passkeys().start_for(jo.id, &[key], Purpose::SignIn, NOW).unwrap_err(),
        PasskeyError::Unknown,
        "it is not offered either"
    );
}

#[test]
fn a_copy_is_noticed_between_ceremonies_that_began_together() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let mut key = register(&mut device, &jo);
    // Both states hold the counter as it was now, so the library alone would take both answers.
    let begin = || passkeys().start_for(jo.id, std::slice::from_ref(&key), Purpose::SignIn, NOW).unwrap();
    let ((options_1, first), (options_2, second)) = (begin(), begin());
    let early = Answer::read(get(&mut device, options_1, &key)).unwrap();
    let late = Answer::read(get(&mut device, options_2, &key)).unwrap();
    passkeys().finish(second, &late, &Purpose::SignIn, &mut key, NOW).unwrap();
    let refused = passkeys().finish(first, &early, &Purpose::SignIn, &mut key, NOW).unwrap_err();
    assert_eq!(refused, PasskeyError::Suspended);
}

#[test]
fn a_confirmation_is_for_one_operation_and_one_person() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let mut key = register(&mut device, &jo);
    let delete = Purpose::StepUp { operation: "sha256 of DELETE /x".to_owned() };
    let start = |key: &StoredPasskey| {
        passkeys().start_for(jo.id, std::slice::from_ref(key), delete.clone(), NOW).unwrap()
    };
    let (options, state) = start(&key);
    let answer = Answer::read(get(&mut device, options, &key)).unwrap();
    for other in [Purpose::SignIn, Purpose::StepUp { operation: "another".to_owned() }] {
        let refused = passkeys().finish(stored(state.clone()), &answer, &other, &mut key, NOW).unwrap_err();
        assert_eq!(refused, PasskeyError::Refused);
    }
    let mut foreign = key.clone();
    foreign.person = Uuid::new_v4();
    let refused = passkeys().finish(state.clone(), &answer, &delete, &mut foreign, NOW).unwrap_err();
    assert_eq!(refused, PasskeyError::Unknown);
    assert_eq!(passkeys().finish(state, &answer, &delete, &mut key, NOW), Ok(()));
}

#[test]
fn an_answer_that_claims_to_be_somebody_else_is_refused() {
    let (mut device, jo) = (SoftPasskey::new(true), person());
    let mut key = register(&mut device, &jo);
    let (options, state) = passkeys().start_sign_in(Prompt::Dialog, NOW).unwrap();
    let mut answer = get(&mut device, options, &key);
    answer["response"]["userHandle"] = json!(URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes()));
    let answer = Answer::read(answer).unwrap();
    let refused = passkeys().finish(state, &answer, &Purpose::SignIn, &mut key, NOW).unwrap_err();
    assert_eq!(refused, PasskeyError::Unknown);
    assert_eq!(Answer::read(json!({"id": 1})).unwrap_err(), PasskeyError::Malformed);
}

#[test]
fn addresses_at_which_passkeys_cannot_work_are_refused_when_the_server_starts() {
    for (id, origin) in [
        ("127.0.0.1", "https://127.0.0.1:8443"),
        ("[::1]", "https://[::1]"),
        ("sekisho.example", "http://sekisho.example"),
        ("sekisho.example", "https://other.example"),
        ("sekisho.example", "nonsense"),
    ] {
        assert!(matches!(Passkeys::new(id, origin, "S"), Err(PasskeyError::Configuration(_))), "{origin}");
    }
    assert!(Passkeys::new("localhost", "http://localhost:8080", "S").is_ok());
    assert!(Passkeys::new("sekisho.example", "https://sekisho.example", "S").is_ok());
}
