// Tells every <time> in the zone of whoever reads it: the exact instant on hover, and the text of those
// that show a date. The server wrote all of them in UTC.
const locale = "en-GB";
const date = (options) => new Intl.DateTimeFormat(locale, options);
const day = date({ day: "numeric", month: "short", year: "numeric" });
const longDay = date({ day: "numeric", month: "long", year: "numeric" });
const weekday = date({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const clock = date({ hour: "2-digit", minute: "2-digit" });
const seconds = date({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const offset = date({ timeZoneName: "longOffset" });

function zone(at) {
	const name = offset.formatToParts(at).find((part) => part.type === "timeZoneName").value;
	return name.replace("GMT", "UTC");
}

const texts = {
	day: (at) => day.format(at),
	minute: (at) => `${day.format(at)}, ${clock.format(at)}`,
	time: (at) => seconds.format(at),
	sentence: (at) => `${weekday.format(at)} at ${clock.format(at)}`,
};

function tell(root) {
	for (const element of root.querySelectorAll("time[datetime]")) {
		const at = new Date(element.dateTime);
		if (Number.isNaN(at.valueOf())) continue;
		element.title = `${longDay.format(at)} at ${seconds.format(at)} (${zone(at)})`;
		const text = texts[element.dataset.shows];
		if (text) element.textContent = text(at);
	}
}

tell(document);
document.addEventListener("page:changed", (event) => tell(event.target));
