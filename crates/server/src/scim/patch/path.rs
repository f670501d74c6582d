//! What a path names.

use scim_v2::filter::{AttrPath, PatchPath, PatchValuePath};
use serde_json::Value;
use tokenhouse_core::people::fold;
use tokenhouse_store::directory::{Comparison, Inside};

use super::{Object, invalid_path, no_target};
use crate::error::Error;
use crate::scim::schema::{Attribute, Mutability, Place, ResourceType};
use crate::scim::{filter, value};

/// The most comparisons in a path: each value is looked at for each.
const TERMS_LIMIT: usize = 10;

/// An attribute, or some of its values, or a part of them.
#[derive(Debug)]
pub(in crate::scim) struct Target {
    pub(in crate::scim) extension: Option<&'static str>,
    pub(in crate::scim) attribute: &'static Attribute,
    pub(in crate::scim) part: Option<&'static Attribute>,
    /// Which of several values.
    pub(in crate::scim) filter: Option<Inside>,
}

fn attribute_path(path: &PatchPath) -> &AttrPath {
    match path {
        PatchPath::Attr(path) | PatchPath::Value(PatchValuePath { attr: path, .. }) => path,
    }
}

/// The URN of an extension, if the path is that and nothing else. (It reads like the URN up to the last
/// colon, with an attribute `User`.)
pub(super) fn extension(resource: &ResourceType, path: &PatchPath) -> Option<&'static str> {
    let PatchPath::Attr(AttrPath { uri: Some(urn), name, sub_attr: None }) = path else { return None };
    resource.extension(&format!("{urn}:{name}")).map(|extension| extension.id)
}

/// Whether the path is about a schema that isn't ours: noise.
pub(super) fn is_foreign(resource: &ResourceType, path: &PatchPath) -> bool {
    attribute_path(path).uri.as_deref().is_some_and(|urn| !resource.knows(urn))
}

impl Target {
    /// What a path names, if there is that.
    pub(in crate::scim) fn resolve(resource: &'static ResourceType, path: &PatchPath) -> Result<Self, Error> {
        let AttrPath { uri, name, sub_attr } = attribute_path(path);
        let unknown = || invalid_path(format!("there is no attribute `{name}`"));
        let Place { extension, attribute } = resource.find(uri.as_deref(), name).ok_or_else(unknown)?;
        let (part, filter) = match path {
            PatchPath::Attr(_) => (sub_attr, None),
            PatchPath::Value(_) if !attribute.several || sub_attr.is_some() => {
                return Err(invalid_path(format!("`{}` has no values to choose from", attribute.name)));
            }
            PatchPath::Value(PatchValuePath { filter, sub_attr, .. }) => (sub_attr, Some(filter)),
        };
        let no_part = |part: &str| invalid_path(format!("`{}` has no part `{part}`", attribute.name));
        let part =
            part.as_deref().map(|part| attribute.part(part).ok_or_else(|| no_part(part))).transpose()?;
        let filter = filter.map(|filter| filter::inside(attribute, filter)).transpose()?;
        if filter.as_ref().is_some_and(|filter| terms(filter) > TERMS_LIMIT) {
            return Err(invalid_path(format!("`path` has more than {TERMS_LIMIT} comparisons")));
        }
        Ok(Self { extension, attribute, part, filter })
    }

    /// Who may change it.
    pub(super) fn mutability(&self) -> Mutability {
        self.attribute.mutability
    }

    /// Whether a value is one of those that are meant.
    pub(super) fn chooses(&self, value: &Value) -> bool {
        match (&self.filter, value) {
            (None, _) => true,
            (Some(filter), Value::Object(parts)) => holds(filter, parts),
            (Some(_), _) => false,
        }
    }

    /// Whether there is anything in what is to be set.
    pub(super) fn gives_something(&self, value: Option<&Value>) -> Result<bool, Error> {
        let value = value.unwrap_or(&Value::Null);
        Ok(value::one(self.part.unwrap_or(self.attribute), value)?.is_some())
    }

    /// A new value that the filter would choose, where none is there yet: one of a type, or the primary one,
    /// but none that would be what it is only because it was looked for.
    pub(super) fn template(&self) -> Result<Object, Error> {
        let mut template = Object::new();
        if let Some(filter) = &self.filter {
            self.fill(&mut template, filter)?;
        }
        if template.contains_key("value") {
            return Err(no_target("no value is like this"));
        }
        Ok(template)
    }

    fn fill(&self, template: &mut Object, filter: &Inside) -> Result<(), Error> {
        match filter {
            Inside::All(parts) => parts.iter().try_for_each(|part| self.fill(template, part)),
            Inside::Is(name, Comparison::Equal, text, _) => {
                let part = self.attribute.part(name).ok_or_else(|| no_target("no value is like this"))?;
                if let Some(value) = value::one(part, &Value::String(text.clone()))? {
                    template.insert(part.name.to_owned(), value);
                }
                Ok(())
            }
            _ => Err(no_target("no value is like this, and none can be made from the filter")),
        }
    }
}

fn terms(inside: &Inside) -> usize {
    match inside {
        Inside::All(parts) | Inside::Any(parts) => parts.iter().map(terms).sum(),
        Inside::Not(part) => terms(part),
        Inside::Present(_) | Inside::Is(..) => 1,
    }
}

/// Whether a value is like this.
fn holds(inside: &Inside, parts: &Object) -> bool {
    match inside {
        Inside::All(all) => all.iter().all(|inside| holds(inside, parts)),
        Inside::Any(any) => any.iter().any(|inside| holds(inside, parts)),
        Inside::Not(inside) => !holds(inside, parts),
        Inside::Present(name) => text(parts, name).is_some(),
        Inside::Is(name, comparison, wanted, exact) => text(parts, name).is_some_and(|text| {
            if *exact {
                compares(&text, *comparison, wanted)
            } else {
                compares(&fold(&text), *comparison, &fold(wanted))
            }
        }),
    }
}

fn text(parts: &Object, name: &str) -> Option<String> {
    match value::get(parts, name)? {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn compares(text: &str, comparison: Comparison, wanted: &str) -> bool {
    match comparison {
        Comparison::Equal => text == wanted,
        Comparison::Contains => text.contains(wanted),
        Comparison::StartsWith => text.starts_with(wanted),
        Comparison::EndsWith => text.ends_with(wanted),
        Comparison::Greater => text > wanted,
        Comparison::GreaterOrEqual => text >= wanted,
        Comparison::Less => text < wanted,
        Comparison::LessOrEqual => text <= wanted,
    }
}

/// Whether a value is the one that another names: by its `value`, where that is named, or else by all that is.
/// Case makes a difference where it does in filters.
pub(super) fn is_meant(attribute: &Attribute, known: &Value, named: &Value) -> bool {
    let (Some(known), Some(named)) = (known.as_object(), named.as_object()) else { return known == named };
    let same = |name: &str| match (text(known, name), text(named, name), attribute.part(name)) {
        (Some(known), Some(named), Some(part)) if !part.is_exact() => fold(&known) == fold(&named),
        (known, named, _) => known == named,
    };
    if named.contains_key("value") { same("value") } else { named.keys().all(|name| same(name)) }
}
