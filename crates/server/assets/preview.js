// Shows what the id of a service user will be while its name is typed. The rule is the server's.
for (const output of document.querySelectorAll("output[data-slug-of]")) {
	const name = document.getElementById(output.dataset.slugOf);
	const show = () => {
		const slug = name.value
			.trim()
			.normalize("NFC")
			.split(/\s+/u)
			.join("_")
			.toLowerCase()
			.replace(/[^a-z0-9_-]/gu, "");
		output.textContent = slug ? `${slug}@service` : output.dataset.otherwise;
	};
	name.addEventListener("input", show);
	show();
}
