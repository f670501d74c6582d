// Switches the colour scheme at once; the cookie is set by the same form as without this module.
const form = document.getElementById("theme");

form?.addEventListener("submit", async (event) => {
	event.preventDefault();
	const chosen = event.submitter.value;
	if (chosen === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = chosen;
	for (const button of form.querySelectorAll("[name=theme]")) {
		button.setAttribute("aria-pressed", String(button.value === chosen));
	}
	const icon = (element) => element.querySelector("use");
	icon(form.previousElementSibling).setAttribute("href", icon(event.submitter).getAttribute("href"));
	form.hidePopover?.();
	const answer = await fetch(form.action, {
		method: "POST",
		body: new URLSearchParams(new FormData(form, event.submitter)),
		redirect: "manual",
	}).catch(() => undefined);
	// What wasn't kept must not look kept.
	if (answer?.type !== "opaqueredirect") location.reload();
});
