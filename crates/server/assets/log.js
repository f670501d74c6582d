// Groups a log by the days of whoever reads it. The server grouped it by days in UTC.
const log = document.querySelector("[data-log]");
const date = (options) => new Intl.DateTimeFormat("en-GB", options);
const weekday = date({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const key = date({ year: "numeric", month: "2-digit", day: "2-digit" });

function named(at) {
	const now = new Date();
	const yesterday = new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1);
	if (key.format(at) === key.format(now)) return `Today, ${weekday.format(at)}`;
	if (key.format(at) === key.format(yesterday)) return `Yesterday, ${weekday.format(at)}`;
	return weekday.format(at);
}

function group() {
	const head = log.querySelector(".day");
	const days = Map.groupBy(log.querySelectorAll("ol > li"), (entry) =>
		key.format(new Date(entry.querySelector("time").dateTime)),
	);
	const parts = [];
	for (const entries of days.values()) {
		const title = head.cloneNode(true);
		const list = document.createElement("ol");
		title.querySelector("[data-day]").textContent = named(new Date(entries[0].querySelector("time").dateTime));
		title.querySelector("[data-count]").textContent = entries.length;
		list.append(...entries);
		parts.push(title, list);
	}
	log.replaceChildren(...parts);
}

if (log && Map.groupBy) group();
