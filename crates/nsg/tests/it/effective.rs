//! Effective rules in Azure's shape.

use std::collections::{HashMap, HashSet};

use sekisho_nsg::effective::effective;
use sekisho_nsg::resolve::{Inputs, NicInput};
use serde_json::json;

use crate::support::{asg, id, nic_with, nsg, rule};

#[test]
fn effective_rules_have_azures_names_ranges_and_expansions() {
    let nic = NicInput {
        subnet_nsg: Some((id("virtualNetworks/v/subnets/s"), nsg("outer", json!([])))),
        groups: HashSet::from([asg("web")]),
        ..nic_with(json!([
            rule(
                "Inbound",
                200,
                "Allow",
                json!({"protocol": "tcp", "sourceAddressPrefix": "10.0.0.1",
                "destinationPortRange": null, "destinationPortRanges": ["80", "443-444"]})
            ),
            rule(
                "Inbound",
                100,
                "Deny",
                json!({"destinationAddressPrefix": null,
                "destinationApplicationSecurityGroups": [{"id": asg("web")}]})
            ),
        ]))
    };
    let groups = HashMap::from([(asg("web"), vec!["10.77.0.4".parse().unwrap()])]);
    let inputs = Inputs { nics: vec![nic], groups, ..Inputs::default() };
    let value = json!(effective(&inputs, &inputs.nics[0]).unwrap());
    assert_eq!(value[0]["association"], json!({"subnet": {"id": id("virtualNetworks/v/subnets/s")}}));
    assert_eq!(value[1]["association"], json!({"networkInterface": {"id": id("networkInterfaces/web")}}));
    assert_eq!(value[1]["networkSecurityGroup"], json!({"id": id("networkSecurityGroups/own")}));
    let rules = value[1]["effectiveSecurityRules"].as_array().unwrap();
    let names: Vec<&str> = rules.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "securityRules/r100",
            "securityRules/r200",
            "defaultSecurityRules/AllowVnetInBound",
            "defaultSecurityRules/AllowAzureLoadBalancerInBound",
            "defaultSecurityRules/DenyAllInBound",
            "defaultSecurityRules/AllowVnetOutBound",
            "defaultSecurityRules/AllowInternetOutBound",
            "defaultSecurityRules/DenyAllOutBound",
        ]
    );
    assert_eq!(rules[0]["protocol"], "All");
    assert_eq!(rules[0]["sourcePortRange"], "0-65535");
    assert_eq!(rules[0]["sourceAddressPrefix"], "0.0.0.0/0");
    assert_eq!(rules[0]["expandedDestinationAddressPrefix"], json!(["10.77.0.4/32"]));
    assert_eq!(rules[1]["protocol"], "Tcp");
    assert_eq!(rules[1]["sourceAddressPrefix"], "10.0.0.1/32");
    assert_eq!(rules[1]["destinationPortRanges"], json!(["80-80", "443-444"]));
    assert_eq!(rules[1].get("destinationPortRange"), None);
    assert_eq!(rules[2]["sourceAddressPrefix"], "VirtualNetwork");
    assert_eq!(
        rules[2]["expandedSourceAddressPrefix"],
        json!(["10.77.0.0/16", "168.63.129.16/32", "fd77::/48"])
    );
    let internet = rules[6]["expandedDestinationAddressPrefix"].as_array().unwrap();
    assert!(internet.contains(&json!("11.0.0.0/8")) && !internet.contains(&json!("10.77.0.0/16")));
    assert_eq!(
        (&rules[1]["access"], &rules[1]["priority"], &rules[1]["direction"]),
        (&json!("Allow"), &json!(200), &json!("Inbound"))
    );
}
