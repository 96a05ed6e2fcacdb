//! Which User-Agents are programs that look at pages for somebody else: crawlers, link previews, monitors. Two lists are
//! asked: `woothee`'s category of crawlers, which `user_agent` reads anyway, and the one here, of those that `woothee` takes
//! for browsers or does not know.
//!
//! A browser without a window is no bot (people test their own pages with one), nor is a library for HTTP (servers count
//! with pictures and links too), nor the proxy through which a mail program shows a picture to whoever reads the mail.

use woothee::parser::WootheeResult;

/// Parts of User-Agents in lower case. A new one is a line here and a line of the test below.
const BOTS: &[&str] = &[
    // Search engines and what they run beside their crawlers.
    "googlebot",
    "google-inspectiontool",
    "googleother",
    "google-read-aloud",
    "storebot-google",
    "apis-google",
    "mediapartners-google",
    "adsbot-google",
    "feedfetcher-google",
    "google-site-verification",
    "google web preview",
    "bingpreview",
    "applebot",
    "baiduspider",
    "yandex.com/bots",
    "petalbot",
    "duckassistbot",
    "sogou web spider",
    "seznambot",
    "yeti/",
    "qwantify",
    // Previews of links in messages and networks.
    "facebookexternalhit",
    "facebookcatalog",
    "meta-externalagent",
    "meta-externalfetcher",
    "twitterbot",
    "linkedinbot",
    "slackbot",
    "slack-imgproxy",
    "discordbot",
    "telegrambot",
    "whatsapp/",
    "skypeuripreview",
    "microsoftpreview",
    "pinterestbot",
    "redditbot",
    "embedly",
    "iframely",
    "flipboardproxy",
    "bitlybot",
    "vkshare",
    "mastodon/",
    "google-pagerenderer",
    // Language models.
    "gptbot",
    "oai-searchbot",
    "chatgpt-user",
    "claudebot",
    "claude-web",
    "claude-user",
    "claude-searchbot",
    "anthropic-ai",
    "perplexitybot",
    "perplexity-user",
    "bytespider",
    "amazonbot",
    "ccbot",
    "cohere-ai",
    "diffbot",
    "mistralai-user",
    "youbot",
    // Search engine optimisation.
    "ahrefsbot",
    "ahrefssiteaudit",
    "semrushbot",
    "mj12bot",
    "dotbot",
    "blexbot",
    "dataforseobot",
    "screaming frog",
    "serpstatbot",
    "rogerbot",
    "sitebulb",
    "barkrowler",
    // Monitors and measurements.
    "chrome-lighthouse",
    "google page speed",
    "gtmetrix",
    "ptst/",
    "pingdom",
    "uptimerobot",
    "statuscake",
    "site24x7",
    "better uptime bot",
    "datadogsynthetics",
    "newrelicpinger",
    "catchpoint",
    "checklyhq",
    "hetrixtools",
    "w3c_validator",
    "internet-measurement",
    "censysinspect",
    "expanse",
    "zgrab",
    "phantomjs",
    // Archives.
    "archive.org_bot",
    "ia_archiver",
    "heritrix",
];

/// People look at mails through these.
const READERS: [&str; 2] = ["googleimageproxy", "yahoomailproxy"];

/// Whether a User-Agent, and what `woothee` made of it, is a bot's.
pub(super) fn is_bot(user_agent: &str, read: Option<&WootheeResult<'_>>) -> bool {
    let lower = user_agent.to_ascii_lowercase();
    let names = |list: &[&str]| list.iter().any(|part| lower.contains(part));
    !names(&READERS) && (read.is_some_and(|read| read.category == "crawler") || names(BOTS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use woothee::parser::Parser;

    fn judged(user_agent: &str) -> bool {
        is_bot(user_agent, Parser::new().parse(user_agent).as_ref())
    }

    #[test]
    fn bots_are_known() {
        for bot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2272.96 Safari/537.36 SkypeUriPreview Preview/0.5",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Chrome-Lighthouse",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "Twitterbot/1.0",
            "WhatsApp/2.23.20.0 A",
            "SomethingNew/1.0 (our-crawler; contact@example.com)",
        ] {
            assert!(judged(bot), "{bot}");
        }
    }

    #[test]
    fn people_and_servers_are_no_bots() {
        for person in [
            "",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 Instagram 337.0",
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
            "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
            "Mozilla/5.0",
            "curl/8.5.0",
            "python-requests/2.34.2",
            "node",
        ] {
            assert!(!judged(person), "{person}");
        }
    }

    #[test]
    fn each_part_is_written_as_it_is_compared() {
        for (at, part) in BOTS.iter().enumerate() {
            assert!(!part.is_empty() && part.to_ascii_lowercase() == *part, "{part}");
            assert!(BOTS.iter().skip(at + 1).all(|other| !other.contains(part)), "{part} is there twice");
        }
    }
}
