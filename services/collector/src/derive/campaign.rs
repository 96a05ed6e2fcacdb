//! What brought a visitor, as the link said it: `context.campaign`, else `utm_*` in the page's URL, and the click ids
//! that ad networks append.

use std::borrow::Cow;

use super::address::Address;
use super::channels::CLICK_IDS;
use crate::mask;

/// A campaign's parameters; empty where the link had none.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Campaign<'a> {
    pub(crate) source: Cow<'a, str>,
    pub(crate) medium: Cow<'a, str>,
    pub(crate) name: Cow<'a, str>,
    pub(crate) content: Cow<'a, str>,
    /// The channel that a click id in the URL stands for.
    pub(crate) click_channel: Option<&'static str>,
}

impl<'a> Campaign<'a> {
    /// Sets a field by Segment's name for it.
    pub(crate) fn set(&mut self, field: &str, value: Cow<'a, str>) {
        match field {
            "source" => self.source = value,
            "medium" => self.medium = value,
            "name" => self.name = value,
            "content" => self.content = value,
            _ => {}
        }
    }

    /// Masks what a link should not have carried.
    pub(crate) fn mask(&mut self) {
        for field in [&mut self.source, &mut self.medium, &mut self.name, &mut self.content] {
            if !field.is_empty()
                && let Some(masked) = mask::text(field)
            {
                *field = Cow::Owned(masked);
            }
        }
    }

    /// Fills what is still empty from a URL's query (with or without what comes before it).
    pub(crate) fn fill_from_query(&mut self, url: Cow<'a, str>) {
        match url {
            Cow::Borrowed(url) => self.fill(url, |value| value),
            Cow::Owned(url) => self.fill(&url, |value| Cow::Owned(value.into_owned())),
        }
    }

    /// `keep` makes of a parameter of `url` what may stay in the campaign.
    fn fill<'u>(&mut self, url: &'u str, keep: impl Fn(Cow<'u, str>) -> Cow<'a, str>) {
        for (name, value) in Address::of(url).parameters() {
            let field = match name.as_ref() {
                "utm_source" => &mut self.source,
                "utm_medium" => &mut self.medium,
                "utm_campaign" => &mut self.name,
                "utm_content" => &mut self.content,
                name => {
                    let known = CLICK_IDS.iter().find(|(id, _)| *id == name).map(|(_, channel)| *channel);
                    self.click_channel = self.click_channel.or(known);
                    continue;
                }
            };
            if field.is_empty() {
                *field = keep(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_fills_what_the_context_left_empty() {
        let mut campaign = Campaign { source: "newsletter".into(), ..Campaign::default() };
        campaign.fill_from_query(
            "https://a.b/?utm_source=x&utm_campaign=May+sale&utm_medium=&gclid=1#utm_content=no".into(),
        );
        assert_eq!((campaign.source.as_ref(), campaign.name.as_ref()), ("newsletter", "May sale"));
        assert_eq!((campaign.medium.as_ref(), campaign.content.as_ref()), ("", ""));
        assert_eq!(campaign.click_channel, Some("paid_search"));
    }
}
