import type { Locator, Page } from "@playwright/test";
import { looksRight } from "../support/looks.ts";
import { PASSWORD } from "../support/server.ts";
import { expect, signIn, test, toast, withAndWithoutScripts } from "../support/test.ts";
import { done, opens, row, shown } from "../support/tokens.ts";

/** Opens the dialog that adds somebody. */
async function add(page: Page, what: "Service user" | "Person"): Promise<Locator> {
	await page.goto("/settings/people/users");
	await page.getByRole("button", { name: "Add", exact: true }).click();
	await page.getByRole("link", { name: what, exact: true }).click();
	return page.getByRole("dialog", { name: `Add ${what.toLowerCase()}` });
}

/** Opens the page of somebody by finding them in the list. */
async function open(page: Page, name: string): Promise<void> {
	await page.goto("/settings/people/users?include_deleted=on");
	await page.getByRole("searchbox").fill(name);
	await page.getByRole("searchbox").press("Enter");
	await row(page, name).getByRole("link", { name, exact: true }).click();
	await expect(page.getByRole("heading", { level: 1 })).toContainText(name);
}

/** Chooses from the menu of the page of somebody. */
async function choose(page: Page, action: string): Promise<void> {
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("link", { name: action }).click();
}

withAndWithoutScripts(() => {
	// Names are unique on a server; tests share it.
	let suffix: string;
	test.beforeEach(({ javaScriptEnabled }) => {
		suffix = javaScriptEnabled ? "with scripts" : "without";
	});

	test("a service user and its first token, in two steps", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const dialog = await add(page, "Service user");
		const name = dialog.getByLabel("Name", { exact: true });
		await expect(name).toBeFocused();
		await expect(dialog.getByRole("radio", { name: /^Member/ })).toBeChecked();
		await name.fill("!!!");
		await dialog.getByLabel("Purpose").fill("Deploys at night");
		await dialog.getByRole("button", { name: "Next" }).click();
		await expect(name).toHaveAttribute("aria-invalid", "true");
		await expect(dialog.getByLabel("Purpose")).toHaveValue("Deploys at night");

		await name.fill(`Night Deploy ${suffix}`);
		await dialog.getByRole("radio", { name: /^Manager/ }).check();
		await dialog.getByLabel("Who answers for it").fill("Platform team");
		await dialog.getByRole("button", { name: "Next" }).click();
		const id = `night_deploy_${suffix.replace(" ", "_")}@service`;
		await expect(dialog).toContainText(id);
		await dialog.getByRole("button", { name: "Back" }).click();
		await expect(name).toHaveValue(`Night Deploy ${suffix}`);
		await expect(dialog.getByRole("radio", { name: /^Manager/ })).toBeChecked();
		await dialog.getByRole("button", { name: "Next" }).click();
		await dialog.getByLabel("Name of the token").fill("");
		await dialog.getByRole("button", { name: "Generate token" }).click();
		await expect(dialog.getByLabel("Name of the token")).toHaveAttribute("aria-invalid", "true");
		await dialog.getByLabel("Name of the token").fill("first");
		await dialog.getByText("30 days", { exact: true }).click();
		await dialog.getByRole("button", { name: "Generate token" }).click();
		const token = await shown(page);
		if (suffix === "with scripts") await looksRight(page, "service-user-made");
		const me = await server.api<Record<string, unknown>>("GET", "/api/users/me", undefined, token);
		expect(me).toMatchObject({ user_id: id, role: "Manager", purpose: "Deploys at night", owner: "Platform team" });
		await done(page);

		const again = await add(page, "Service user");
		await again.getByLabel("Name", { exact: true }).fill(`night deploy ${suffix}`);
		await again.getByRole("button", { name: "Finish" }).click();
		await expect(again.getByLabel("Name", { exact: true })).toHaveAttribute("aria-invalid", "true");
	});

	test("a service user without a token", async ({ page, signedInAs }) => {
		await signedInAs("Admin");
		const dialog = await add(page, "Service user");
		await dialog.getByLabel("Name", { exact: true }).fill(`Quiet One ${suffix}`);
		await dialog.getByRole("button", { name: "Finish" }).click();
		await expect(toast(page)).toContainText("The service user has been created");
		await expect(page.getByRole("heading", { level: 1 })).toContainText(`Quiet One ${suffix}`);
		await expect(page.getByRole("main")).toContainText("No token yet");
	});

	test("a person, who is invited by a link", async ({ page, signedInAs, elsewhere }) => {
		await signedInAs("Admin");
		const email = `ivy-${suffix.replace(" ", "-")}@example.com`;
		const dialog = await add(page, "Person");
		await dialog.getByLabel("Name", { exact: true }).fill(`Ivy ${suffix}`);
		await dialog.getByLabel("E-mail address").fill("not an address");
		await dialog.getByRole("button", { name: "Add person" }).click();
		await expect(dialog.getByLabel("E-mail address")).toHaveAttribute("aria-invalid", "true");
		await expect(dialog.getByLabel("Name", { exact: true })).toHaveValue(`Ivy ${suffix}`);
		await dialog.getByLabel("E-mail address").fill(email);
		await dialog.getByRole("button", { name: "Add person" }).click();
		const link = await page.getByRole("dialog").getByLabel("Invitation link", { exact: true }).textContent();

		const ivy = await elsewhere();
		await ivy.goto(link ?? "");
		await ivy.getByLabel("Password").fill(PASSWORD);
		await ivy.getByRole("button", { name: /Set password/ }).click();
		await expect(ivy.getByRole("link", { name: `Your account: Ivy ${suffix}, Member` })).toBeVisible();
	});

	test("edited, and the tokens follow at once", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const user = await server.service(`Edited ${suffix}`);
		const { bearer_token: token } = await server.token("deploy", user.id);
		await open(page, user.name);
		await page.getByRole("link", { name: "Edit" }).first().click();
		const dialog = page.getByRole("dialog", { name: "Edit account" });
		await dialog.getByLabel("Name", { exact: true }).fill("");
		await dialog.getByRole("button", { name: "Save changes" }).click();
		await expect(dialog.getByLabel("Name", { exact: true })).toHaveAttribute("aria-invalid", "true");
		await dialog.getByLabel("Name", { exact: true }).fill(`Renamed ${suffix}`);
		await dialog.getByRole("radio", { name: /^Admin/ }).check();
		await dialog.getByRole("button", { name: "Save changes" }).click();
		await expect(toast(page)).toContainText("The changes have been saved");
		await expect(page.getByRole("heading", { level: 1 })).toContainText(`Renamed ${suffix}`);
		const me = await server.api<Record<string, unknown>>("GET", "/api/users/me", undefined, token);
		expect(me).toMatchObject({ name: `Renamed ${suffix}`, role: "Admin", user_id: user.user_id });
	});

	test("deactivated and reactivated, with the count of tokens", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const user = await server.service(`Paused ${suffix}`);
		const { bearer_token: token } = await server.token("one", user.id);
		await server.token("two", user.id);
		await open(page, user.name);
		await choose(page, "Deactivate");
		const dialog = page.getByRole("dialog");
		await expect(dialog).toContainText("2 active tokens stop working");
		await dialog.getByRole("button", { name: "Deactivate account" }).click();
		await expect(toast(page)).toContainText("The account has been deactivated");
		await expect(page.getByRole("heading", { level: 1 })).toContainText("Deactivated");
		expect(await opens(server, token)).toBe(false);
		await choose(page, "Reactivate");
		await expect(dialog).toContainText("2 tokens");
		await dialog.getByRole("button", { name: "Reactivate account" }).click();
		await expect(toast(page)).toContainText("The account has been reactivated");
		expect(await opens(server, token)).toBe(true);
	});

	test("all tokens of a service user are revoked at once", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const user = await server.service(`Leaky ${suffix}`);
		const { bearer_token: token } = await server.token("one", user.id);
		await server.token("two", user.id);
		await open(page, user.name);
		await choose(page, "Revoke all tokens");
		await expect(page.getByRole("dialog")).toContainText("2 active tokens");
		await page.getByRole("dialog").getByRole("button", { name: "Revoke all tokens" }).click();
		await expect(toast(page)).toContainText("All its tokens have been revoked");
		expect(await opens(server, token)).toBe(false);
	});

	test("a lost password is replaced by a new invitation", async ({ page, server, signedInAs, elsewhere }) => {
		await signedInAs("Admin");
		const mia = await server.person("Member", `Mia ${suffix}`);
		await open(page, mia.name);
		await choose(page, "New invitation link");
		await page.getByRole("dialog").getByRole("button", { name: "Make invitation link" }).click();
		const link = await page.getByRole("dialog").getByLabel("Invitation link", { exact: true }).textContent();
		const other = await elsewhere();
		await other.goto(link ?? "");
		await other.getByLabel("Password").fill("another battery staple horse");
		await other.getByRole("button", { name: /Set password/ }).click();
		await expect(other.getByRole("link", { name: `Your account: ${mia.name}, Member` })).toBeVisible();
	});

	test("a team, from the first member to the last", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const mia = await server.person("Member", `Tess ${suffix}`);
		await page.goto("/settings/people/teams");
		await page.getByRole("link", { name: "Add team" }).first().click();
		const dialog = page.getByRole("dialog", { name: "Add team" });
		await dialog.getByLabel("Name", { exact: true }).fill("Public");
		await dialog.getByLabel("Description").fill("Who keeps it running");
		await dialog.getByRole("button", { name: "Add team" }).click();
		await expect(dialog.getByLabel("Name", { exact: true })).toHaveAttribute("aria-invalid", "true");
		await expect(dialog.getByLabel("Description")).toHaveValue("Who keeps it running");
		await dialog.getByLabel("Name", { exact: true }).fill(`Platform ${suffix}`);
		await dialog.getByRole("button", { name: "Add team" }).click();
		await expect(toast(page)).toContainText("The team has been created");
		await expect(page.getByRole("heading", { level: 1 })).toContainText(`Platform ${suffix}`);

		await page.getByRole("link", { name: "Add member" }).first().click();
		const search = page.getByRole("dialog", { name: "Add member" });
		await search.getByRole("searchbox").fill(mia.name);
		await search.getByRole("button", { name: "Search" }).click();
		await search.getByRole("button", { name: `Add ${mia.name}` }).click();
		await expect(page.getByText("Added to the team").first()).toBeVisible();
		await page.getByRole("link", { name: "Done" }).click();
		await expect(row(page, mia.name)).toBeVisible();
		await page.getByRole("button", { name: `Remove ${mia.name}` }).click();
		await expect(toast(page)).toContainText("Removed from the team");
		await expect(row(page, mia.name)).toHaveCount(0);

		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("link", { name: "Edit" }).click();
		const edit = page.getByRole("dialog", { name: "Edit team" });
		await edit.getByLabel("Name", { exact: true }).fill(`Base ${suffix}`);
		await edit.getByRole("button", { name: "Save changes" }).click();
		await expect(page.getByRole("heading", { level: 1 })).toContainText(`Base ${suffix}`);
		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("link", { name: "Delete team" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Delete team" }).click();
		await expect(toast(page)).toContainText("The team has been deleted");
		await expect(page).toHaveURL("/settings/people/teams");
		await expect(row(page, `Base ${suffix}`)).toHaveCount(0);
	});

	test("found by name, type, role and state", async ({ page, server, signedInAs }) => {
		await signedInAs("Manager");
		const [gone, manager] = [
			await server.person("Member", `Quest Gone ${suffix}`),
			await server.person("Manager", `Quest Lead ${suffix}`),
		];
		const robot = await server.service(`Quest Robot ${suffix}`);
		await server.api("DELETE", `/api/users/${gone.id}`);
		const found = page.getByRole("rowheader").getByRole("link");
		await page.goto("/settings/people/users");
		await expect(page.getByRole("button", { name: "Add", exact: true })).toHaveCount(0);
		await page.getByRole("searchbox").fill(`quest`);
		await applyFilter(page);
		await expect(found.filter({ hasText: suffix })).toHaveText([manager.name, robot.name]);
		await page.getByText("Deactivated too").click();
		await applyFilter(page);
		await expect(found.filter({ hasText: suffix })).toHaveText([gone.name, manager.name, robot.name]);
		await expect(row(page, gone.name)).toContainText("Deactivated");
		await expect(row(page, robot.name)).toContainText("Service");
		await page.getByLabel("Role", { exact: true }).selectOption("Manager");
		await applyFilter(page);
		await expect(found.filter({ hasText: suffix })).toHaveText([manager.name]);
		await page.getByLabel("Role", { exact: true }).selectOption("Any role");
		await page.getByLabel("Type", { exact: true }).selectOption("Service users");
		await applyFilter(page);
		await expect(found.filter({ hasText: suffix })).toHaveText([robot.name]);
	});
});

/** Scripts apply a filter as it changes, and take the button away. */
async function applyFilter(page: Page): Promise<void> {
	const button = page.getByRole("button", { name: "Filter" });
	if (await button.isVisible()) await button.click();
}

test("the id of a service user is shown while its name is typed", async ({ page, signedInAs }) => {
	await signedInAs("Admin");
	const dialog = await add(page, "Service user");
	await dialog.getByLabel("Name", { exact: true }).pressSequentially("Pipeline  Automation (Nightly)");
	await expect(dialog.getByRole("status").or(dialog.locator("output"))).toHaveText("pipeline_automation_nightly@service");
});

test("a person's page says how many tokens stop, and never which", async ({ page, server, signedInAs, elsewhere }) => {
	await signedInAs("Admin");
	const mia = await server.person("Member", "Private Person");
	await open(page, mia.name);
	await expect(page.getByRole("heading", { name: "Tokens" })).toHaveCount(0);
	await choose(page, "Deactivate");
	await expect(page.getByRole("dialog")).toContainText("No token stops working");
	await expect(page.getByRole("dialog")).toContainText("signed out of 1 browser");
	await page.getByRole("dialog").getByRole("button", { name: "Deactivate account" }).click();
	await expect(toast(page)).toContainText("The account has been deactivated");
	const other = await elsewhere();
	await other.goto("/login");
	await other.getByLabel("User name or e-mail").fill(mia.email);
	await other.getByLabel("Password").fill(PASSWORD);
	await other.getByRole("button", { name: "Sign in" }).click();
	await expect(other.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
});

test("nothing is offered that a Manager may not do", async ({ page, server, signedInAs }) => {
	await signedInAs("Manager");
	const user = await server.service("Seen by Managers");
	await open(page, user.name);
	await expect(page.getByRole("link", { name: "Edit" })).toHaveCount(0);
	await expect(page.getByRole("button", { name: "More actions" })).toHaveCount(0);
	await page.goto("/settings/people/teams");
	await expect(page.getByRole("link", { name: "Add team" })).toHaveCount(0);
	for (const path of ["/settings/people/users/add-person", `/settings/people/users/${user.id}/edit`]) {
		expect((await page.goto(path))?.status()).toBe(403);
	}
});

test("a service user is asked for, approved and declined", async ({ page, elsewhere, server, signedInAs }) => {
	test.slow();
	await signedInAs("Member", "Rosa Falk");
	const names = [`Nightly Export ${Date.now()}`, `${"🚀".repeat(40)} ${Date.now()}`];
	for (const name of names) {
		await page.goto("/settings/people/requests/ask");
		await page.getByLabel("Name", { exact: true }).fill(name);
		await page.getByLabel("Purpose").fill("Moves yesterday's rows into the warehouse");
		if (name === names[0]) await looksRight(page, "request-ask");
		await page.getByRole("button", { name: "Send request" }).click();
		await expect(page.getByRole("button", { name: `Withdraw ${name}` })).toBeVisible();
	}
	await looksRight(page, "requests-own");

	const other = await elsewhere();
	await signIn(other.context(), server, await server.person("Admin", "Mara Lindqvist"));
	await other.goto("/settings/people/requests");
	await looksRight(other, "requests-open");
	await other.getByRole("link", { name: `Approve ${names[0]}` }).click();
	await looksRight(other, "request-approve");
	await other.getByRole("button", { name: "Make the service user" }).click();
	await expect(other.getByRole("heading", { level: 1 })).toContainText(names[0]);
	await other.goto("/settings/people/requests");
	await expect(other.getByRole("row", { name: names[0] })).toContainText("Approved");
	await other.getByRole("link", { name: `Decline ${names[1]}` }).click();
	await looksRight(other, "request-decline");
	await other.getByLabel("Why not").fill("There is one already");
	await other.getByRole("dialog").getByRole("button", { name: "Decline" }).click();
	await expect(other.getByRole("row", { name: names[1] })).toContainText("There is one already");
	await looksRight(other, "requests-decided");
});
