// Filters a list while typing: asks for the same page with other parameters and takes the results over.
const form = document.querySelector("form[data-live]");
const results = () => document.getElementById("results");
const said = document.querySelector("[data-said]");
let waiting;
let asked;

// Needed only where nothing happens while typing.
for (const button of document.querySelectorAll("[data-apply]")) button.hidden = true;

async function filter() {
	asked?.abort();
	asked = new AbortController();
	const url = new URL(location.pathname, location.origin);
	for (const [name, value] of new FormData(form)) if (value) url.searchParams.append(name, value);
	try {
		const answer = await fetch(url, { signal: asked.signal });
		const page = new DOMParser().parseFromString(await answer.text(), "text/html");
		const found = page.getElementById("results");
		// Signed out meanwhile, or trouble: the browser shows whatever it is.
		if (!answer.ok || answer.redirected || !found) return location.assign(url);
		results().replaceWith(found);
		// What stands elsewhere and depends on what was asked for, such as links that keep it.
		for (const part of page.querySelectorAll("[data-follows]")) document.getElementById(part.id)?.replaceWith(part);
		found.dispatchEvent(new CustomEvent("page:changed", { bubbles: true }));
		if (said) said.textContent = found.dataset.summary ?? "";
		history.replaceState(null, "", url);
	} catch (error) {
		if (error.name !== "AbortError") location.assign(url);
	}
}

form?.addEventListener("input", (event) => {
	clearTimeout(waiting);
	waiting = setTimeout(filter, event.target.type === "search" ? 200 : 0);
});
form?.addEventListener("submit", (event) => {
	event.preventDefault();
	clearTimeout(waiting);
	filter();
});
