//! What a directory knows, and searching by it.

use tokenhouse_core::id::UserId;
use tokenhouse_store::directory::{
    Attribute, Comparison, Condition, Field, Inside, Sort, Value, replace, search_people as search,
};
use tokenhouse_store::users;

use crate::setting::{NOW, Setting, on_both};

on_both!(
    people_are_found_by_our_own_columns,
    people_are_found_by_what_the_directory_said,
    one_value_has_to_be_all_of_it,
    conditions_are_put_together,
    nothing_is_a_wildcard_or_a_statement,
    people_are_sorted_with_those_without_a_value_last,
    what_was_said_before_is_gone,
);

fn attribute(attribute: &str, position: i64, part: &str, text: &str) -> Attribute {
    Attribute { attribute: attribute.into(), position, part: part.into(), text: text.into() }
}

fn other(attribute: &str, part: &str) -> Field {
    Field::Other { attribute: attribute.into(), part: part.into(), exact: false }
}

fn is(field: Field, comparison: Comparison, text: &str) -> Condition {
    Condition::Is(field, comparison, Value::Text(text.into()))
}

async fn found(s: &Setting, condition: &Condition) -> Vec<UserId> {
    let page = search(&mut *s.read().await, condition, &Sort::default(), (100, 0)).await.unwrap();
    assert_eq!(page.total, i64::try_from(page.items.len()).unwrap());
    page.items
}

async fn says(s: &Setting, user: UserId, external_id: Option<&str>, attributes: &[Attribute]) {
    s.write(async |w| replace(w, user, external_id, "{}", attributes).await).await;
}

/// Ada, who has two addresses, Bob, who has one, and Cy, of whom the directory said nothing.
async fn people(s: &Setting) -> [UserId; 3] {
    let (ada, bob, cy) = (s.human("Ada").await, s.human("Bob").await, s.human("Cy").await);
    s.service("robot").await;
    let two = [
        attribute("emails", 0, "value", "Ada@Example.com"),
        attribute("emails", 0, "type", "work"),
        attribute("emails", 1, "value", "ada@home.example"),
        attribute("emails", 1, "type", "home"),
        attribute("title", 0, "", "Countess"),
        attribute("name", 0, "givenname", "Ada"),
    ];
    says(s, ada, Some("A-1"), &two).await;
    let one = [attribute("emails", 0, "value", "bob@home.example"), attribute("emails", 0, "type", "work")];
    says(s, bob, Some("a-1"), &one).await;
    [ada, bob, cy]
}

async fn people_are_found_by_our_own_columns(s: Setting) {
    let [ada, bob, cy] = people(&s).await;
    assert_eq!(found(&s, &Condition::All(vec![])).await, [ada, bob, cy]);
    assert_eq!(found(&s, &Condition::Any(vec![])).await, []);
    for (condition, expected) in [
        (is(Field::UserName, Comparison::Equal, "LOCAL|ada"), vec![ada]),
        (is(Field::UserName, Comparison::StartsWith, "local|B"), vec![bob]),
        (is(Field::DisplayName, Comparison::EndsWith, "Y"), vec![cy]),
        (is(Field::ExternalId, Comparison::Equal, "a-1"), vec![bob]),
        (is(Field::ExternalId, Comparison::Greater, "A-1"), vec![bob]),
        (is(Field::Id, Comparison::Equal, &cy.to_string()), vec![cy]),
        (Condition::Present(Field::ExternalId), vec![ada, bob]),
        (Condition::Is(Field::Active, Comparison::Equal, Value::Flag(true)), vec![ada, bob, cy]),
        (Condition::Is(Field::Created, Comparison::GreaterOrEqual, Value::Time(NOW)), vec![ada, bob, cy]),
        (Condition::Is(Field::Created, Comparison::Less, Value::Time(NOW)), vec![]),
    ] {
        assert_eq!(found(&s, &condition).await, expected, "{condition:?}");
    }
    s.write(async |w| users::set_deactivated(w, bob, Some(NOW)).await).await;
    let inactive = Condition::Is(Field::Active, Comparison::Equal, Value::Flag(false));
    assert_eq!(found(&s, &inactive).await, [bob]);
}

async fn people_are_found_by_what_the_directory_said(s: Setting) {
    let [ada, bob, _] = people(&s).await;
    for (condition, expected) in [
        (is(other("emails", "value"), Comparison::Contains, "HOME.example"), vec![ada, bob]),
        (is(other("emails", "value"), Comparison::Equal, "ada@example.com"), vec![ada]),
        (is(other("title", ""), Comparison::Equal, "countess"), vec![ada]),
        (is(other("title", ""), Comparison::Equal, "count"), vec![]),
        (Condition::Present(other("name", "")), vec![ada]),
        (Condition::Present(other("name", "familyname")), vec![]),
        (Condition::Present(other("nickname", "")), vec![]),
    ] {
        assert_eq!(found(&s, &condition).await, expected, "{condition:?}");
    }
    let exact = Field::Other { attribute: "title".into(), part: String::new(), exact: true };
    assert_eq!(found(&s, &is(exact.clone(), Comparison::Equal, "countess")).await, []);
    assert_eq!(found(&s, &is(exact, Comparison::Equal, "Countess")).await, [ada]);
}

async fn one_value_has_to_be_all_of_it(s: Setting) {
    let [ada, bob, _] = people(&s).await;
    let part = |part: &str, comparison, text: &str| Inside::Is(part.into(), comparison, text.into(), false);
    let work = || part("type", Comparison::Equal, "WORK");
    let home = || part("value", Comparison::EndsWith, "@home.example");
    let element = |inside| Condition::Element("emails".into(), Box::new(inside));
    assert_eq!(found(&s, &element(work())).await, [ada, bob]);
    assert_eq!(found(&s, &element(Inside::All(vec![work(), home()]))).await, [bob]);
    assert_eq!(found(&s, &element(Inside::All(vec![Inside::Not(Box::new(work())), home()]))).await, [ada]);
    assert_eq!(found(&s, &element(Inside::Present("display".into()))).await, []);
    assert_eq!(found(&s, &Condition::Not(Box::new(element(home())))).await.len(), 1);
}

async fn conditions_are_put_together(s: Setting) {
    let [ada, bob, cy] = people(&s).await;
    let title = || is(other("title", ""), Comparison::Equal, "countess");
    let external = || is(Field::ExternalId, Comparison::Equal, "a-1");
    assert_eq!(found(&s, &Condition::Any(vec![title(), external()])).await, [ada, bob]);
    assert_eq!(found(&s, &Condition::All(vec![title(), external()])).await, []);
    // Nobody is left out of both: who has no value is not equal to any.
    assert_eq!(found(&s, &Condition::Not(Box::new(external()))).await, [ada, cy]);
    assert_eq!(found(&s, &Condition::Not(Box::new(title()))).await, [bob, cy]);
}

async fn nothing_is_a_wildcard_or_a_statement(s: Setting) {
    people(&s).await;
    for text in ["%", "_", "*", "' OR '1'='1", "\\"] {
        for comparison in [Comparison::Contains, Comparison::StartsWith, Comparison::EndsWith] {
            for field in [Field::UserName, other("title", ""), other("' OR 1=1 --", text)] {
                assert_eq!(found(&s, &is(field, comparison, text)).await, [], "{text}");
            }
        }
    }
}

async fn people_are_sorted_with_those_without_a_value_last(s: Setting) {
    let [ada, bob, cy] = people(&s).await;
    let sorted = async |by, descending| {
        let sort = Sort { by: Some(by), descending };
        search(&mut *s.read().await, &Condition::All(vec![]), &sort, (100, 0)).await.unwrap().items
    };
    assert_eq!(sorted(Field::DisplayName, true).await, [cy, bob, ada]);
    assert_eq!(sorted(Field::ExternalId, false).await, [ada, bob, cy]);
    assert_eq!(sorted(Field::ExternalId, true).await, [cy, bob, ada]);
    assert_eq!(sorted(other("emails", "value"), false).await, [ada, bob, cy]);
    assert_eq!(sorted(other("title", ""), true).await, [cy, bob, ada]);
    let page = async |offset| {
        let sort = Sort { by: Some(other("title", "")), descending: false };
        search(&mut *s.read().await, &Condition::All(vec![]), &sort, (2, offset)).await.unwrap()
    };
    assert_eq!((page(0).await.items, page(0).await.total), (vec![ada, bob], 3));
    assert_eq!(page(2).await.items, [cy]);
}

async fn what_was_said_before_is_gone(s: Setting) {
    let [ada, ..] = people(&s).await;
    says(&s, ada, None, &[attribute("title", 0, "", "Lady")]).await;
    assert_eq!(found(&s, &is(other("title", ""), Comparison::Equal, "countess")).await, []);
    assert_eq!(found(&s, &is(other("title", ""), Comparison::Equal, "lady")).await, [ada]);
    assert_eq!(found(&s, &is(other("emails", "value"), Comparison::StartsWith, "ada")).await, []);
    assert_eq!(found(&s, &is(Field::ExternalId, Comparison::Equal, "A-1")).await, []);
    let many: Vec<_> =
        (0..500).map(|n| attribute("emails", n, "value", &format!("{n}@example.com"))).collect();
    says(&s, ada, None, &many).await;
    assert_eq!(found(&s, &is(other("emails", "value"), Comparison::Equal, "499@example.com")).await, [ada]);
}
