//! Diagrams say of every packet what asking the rules one by one says.

use proptest::prelude::*;
use sekisho_nsg::diagram::{
    ALLOW, Budget, DENY, Manager, NO_RULE, NodeId, ORDERS, Point, Terminal, build, products, smallest,
};
use sekisho_nsg::evaluate::{Packet, matches};
use sekisho_nsg::policy::{Access, Rule};

use crate::classbench::{Kind, Random, corner, rules};

const PLENTY: Budget = Budget { edges: 2_000_000, work: 500_000_000 };

fn first_match(rules: &[Rule], packet: &Packet) -> Terminal {
    rules.iter().position(|rule| matches(rule, packet)).map_or(NO_RULE, Terminal::of)
}

/// The diagram whose terminals are the rules' indexes.
fn by_rule(rules: &[Rule], budget: Budget) -> (Manager, NodeId) {
    let of = |family| products(rules, family).into_iter().map(|(at, p)| (Terminal::of(at), p)).collect();
    smallest(of, NO_RULE, budget).unwrap()
}

fn action(rule: &Rule) -> Terminal {
    if rule.access.access() == Access::Allow { ALLOW } else { DENY }
}

#[test]
fn diagrams_agree_with_linear_evaluation_at_the_corners_of_all_rules() {
    for (kind, count, packets) in [
        (Kind::Acl, 10, 200_000),
        (Kind::Fw, 10, 200_000),
        (Kind::Ipc, 10, 200_000),
        (Kind::Acl, 100, 200_000),
        (Kind::Fw, 100, 200_000),
        (Kind::Ipc, 100, 200_000),
        (Kind::Acl, 1000, 200_000),
        (Kind::Fw, 1000, 200_000),
        (Kind::Ipc, 500, 200_000),
        (Kind::Acl, 5000, 20_000),
    ] {
        let rules = rules(kind, count, 7 * count as u64 + 1);
        let start = std::time::Instant::now();
        let (manager, root) = by_rule(&rules, PLENTY);
        println!("{kind:?} {count}: {} edges, {:?}, {:?}", manager.edges(), manager.order(), start.elapsed());
        let mut random = Random::new(99);
        for _ in 0..packets {
            let packet = corner(&rules, &mut random);
            let said = manager.lookup(root, &Point::of(&packet).unwrap());
            assert_eq!(said, first_match(&rules, &packet), "{kind:?} {count} {packet}");
        }
        println!("  checked after {:?}", start.elapsed());
    }
}

#[test]
fn whatever_the_order_of_fields_the_diagram_says_the_same() {
    let rules = rules(Kind::Fw, 60, 3);
    let mut random = Random::new(4);
    let packets: Vec<Packet> = (0..20_000).map(|_| corner(&rules, &mut random)).collect();
    for order in ORDERS {
        let mut manager = Manager::new(order);
        let of = |family| products(&rules, family).into_iter().map(|(at, p)| (Terminal::of(at), p)).collect();
        let root = build(&mut manager, of, NO_RULE, PLENTY).unwrap();
        for packet in &packets {
            let said = manager.lookup(root, &Point::of(packet).unwrap());
            assert_eq!(said, first_match(&rules, packet), "{order:?} {packet}");
        }
    }
}

#[test]
fn a_diagram_of_actions_is_the_one_of_rules_with_its_ends_renamed() {
    for kind in [Kind::Acl, Kind::Fw, Kind::Ipc] {
        let rules = rules(kind, 200, 11);
        let (mut manager, root) = by_rule(&rules, PLENTY);
        let renamed = manager.map(root, &|t| if t == NO_RULE { DENY } else { action(&rules[t.index()]) });
        let of =
            |family| products(&rules, family).into_iter().map(|(at, p)| (action(&rules[at]), p)).collect();
        let built = build(&mut manager, of, DENY, PLENTY).unwrap();
        assert_eq!(built, renamed, "equal diagrams are the same node");
    }
}

#[test]
fn a_diagram_that_is_too_large_is_given_up_early() {
    let rules = rules(Kind::Fw, 1000, 5);
    let of = |family| products(&rules, family).into_iter().map(|(at, p)| (Terminal::of(at), p)).collect();
    let start = std::time::Instant::now();
    assert!(smallest(of, NO_RULE, Budget { edges: 500, ..PLENTY }).is_err());
    assert!(smallest(of, NO_RULE, Budget { work: 2_000, ..PLENTY }).is_err());
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn sets_of_packets_obey_the_laws_of_sets(seed in any::<u64>()) {
        let mut random = Random::new(seed);
        let lists = [rules(Kind::Fw, 6, seed), rules(Kind::Ipc, 6, seed ^ 1)];
        let mut manager = Manager::new(ORDERS[random.below(ORDERS.len())]);
        let mut set = |list: &Vec<Rule>| {
            let of = |family| products(list, family).into_iter().map(|(at, p)| (action(&list[at]), p)).collect();
            build(&mut manager, of, DENY, PLENTY).unwrap()
        };
        let (a, b) = (set(&lists[0]), set(&lists[1]));
        let (and, or, less) = (manager.and(a, b), manager.or(a, b), manager.without(a, b));
        let restricted = manager.restrict(a, b);
        let all = lists.concat();
        for _ in 0..500 {
            let packet = corner(&all, &mut random);
            let at = Point::of(&packet).unwrap();
            let holds = |id| manager.lookup(id, &at) == ALLOW;
            prop_assert_eq!(holds(and), holds(a) && holds(b));
            prop_assert_eq!(holds(or), holds(a) || holds(b));
            prop_assert_eq!(holds(less), holds(a) && !holds(b));
            let inside = if holds(b) { manager.lookup(a, &at) } else { NO_RULE };
            prop_assert_eq!(manager.lookup(restricted, &at), inside);
        }
        // The same set, made another way, is the same node.
        let rest = manager.without(a, and);
        prop_assert_eq!(rest, less);
        let (only_b, both) = (manager.without(b, a), manager.or(less, and));
        prop_assert_eq!(both, a);
        prop_assert_eq!(manager.or(a, only_b), or);
        prop_assert_eq!(manager.and(b, a), and);
    }

    #[test]
    fn a_witness_is_what_was_asked_for_and_boxes_are_all_of_it(seed in any::<u64>()) {
        let list = rules(Kind::Fw, 8, seed);
        let (manager, root) = by_rule(&list, PLENTY);
        let mut random = Random::new(seed);
        let (boxes, complete) = manager.boxes(root, &|t| t != NO_RULE, 100_000);
        prop_assert!(complete);
        for wanted in (0..list.len()).map(Terminal::of).chain([NO_RULE]) {
            match manager.witness(root, &|t| t == wanted) {
                Some(point) => prop_assert_eq!(first_match(&list, &point.packet()), wanted),
                None => prop_assert!(boxes.iter().all(|b| b.terminal != wanted)),
            }
        }
        for _ in 0..500 {
            let packet = corner(&list, &mut random);
            let point = Point::of(&packet).unwrap();
            let said = manager.lookup(root, &point);
            let holding: Vec<Terminal> = boxes.iter().filter(|b| b.contains(&point)).map(|b| b.terminal).collect();
            if said == NO_RULE {
                prop_assert_eq!(holding, vec![]);
            } else {
                prop_assert_eq!(holding, vec![said], "in one box, because boxes are disjoint");
            }
        }
        if boxes.len() > 2 {
            let (some, complete) = manager.boxes(root, &|t| t != NO_RULE, 2);
            prop_assert_eq!((some.len(), complete), (2, false));
        }
    }
}
