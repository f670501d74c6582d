import type { Locator, Page } from "@playwright/test";
import { expect, test, toast, withAndWithoutScripts } from "../support/test.ts";
import { chooseAction, done, generated, opens, row, shown } from "../support/tokens.ts";

/** The dialog that asks before something is done to a token. */
function asking(page: Page, verb: string): Locator {
	return page.getByRole("dialog", { name: new RegExp(`^${verb}`) });
}

async function revoke(page: Page, name: string): Promise<void> {
	await chooseAction(page, name, "Revoke");
	await expect(asking(page, "Revoke")).toContainText(name);
	await asking(page, "Revoke").getByRole("button", { name: "Revoke token" }).click();
	await expect(toast(page)).toContainText("The token has been successfully revoked");
}

withAndWithoutScripts(() => {
	test("revoked, restored, revoked and deleted", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const token = await generated(page, "laptop");
		await expect(row(page, "laptop")).toContainText("Active");
		await expect(row(page, "laptop")).toContainText("Not used");
		expect(await opens(server, token)).toBe(true);

		await revoke(page, "laptop");
		await expect(row(page, "laptop")).toContainText("Revoked");
		expect(await opens(server, token)).toBe(false);

		await chooseAction(page, "laptop", "Restore");
		await expect(toast(page)).toContainText("The token has been successfully restored");
		await expect(row(page, "laptop")).toContainText("Active");
		expect(await opens(server, token)).toBe(true);

		await revoke(page, "laptop");
		await chooseAction(page, "laptop", "Delete");
		await expect(asking(page, "Delete")).toContainText("laptop");
		await asking(page, "Delete").getByRole("button", { name: "Delete token" }).click();
		await expect(toast(page)).toContainText("User token successfully deleted");
		await expect(row(page, "laptop")).toHaveCount(0);
		await page.reload();
		await expect(toast(page)).toHaveCount(0);
	});

	test("all of one's own are revoked at once", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const tokens = [await generated(page, "laptop"), await generated(page, "phone")];
		await page.getByRole("link", { name: "Revoke all" }).click();
		await expect(asking(page, "Revoke all")).toContainText("2 tokens stop working at once");
		await asking(page, "Revoke all").getByRole("link", { name: "Cancel" }).click();
		expect(await Promise.all(tokens.map((token) => opens(server, token)))).toEqual([true, true]);
		await page.getByRole("link", { name: "Revoke all" }).click();
		await asking(page, "Revoke all").getByRole("button", { name: "Revoke all" }).click();
		await expect(toast(page)).toContainText("revoked");
		for (const name of ["laptop", "phone"]) await expect(row(page, name)).toContainText("Revoked");
		await expect(page.getByRole("link", { name: "Revoke all" })).toHaveCount(0);
		expect(await Promise.all(tokens.map((token) => opens(server, token)))).toEqual([false, false]);
	});

	test("a toast takes a revocation back", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const token = await generated(page, "laptop");
		await revoke(page, "laptop");
		await toast(page).getByRole("button", { name: "Restore" }).click();
		await expect(toast(page)).toContainText("The token has been successfully restored");
		expect(await opens(server, token)).toBe(true);
	});

	test("only what is possible is offered", async ({ page, signedInAs }) => {
		await signedInAs("Member");
		await generated(page, "laptop");
		const entries = async () => {
			await page.getByRole("button", { name: "Actions for laptop" }).click();
			const links = await row(page, "laptop").locator(":popover-open").locator("a, button").allInnerTexts();
			await page.keyboard.press("Escape");
			return links.map((text) => text.trim().replace("…", ""));
		};
		expect(await entries()).toEqual(["Details", "Rotate", "Revoke"]);
		await revoke(page, "laptop");
		expect(await entries()).toEqual(["Details", "Restore", "Delete"]);
	});

	test("a dialog is left without doing anything", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const token = await generated(page, "laptop");
		await chooseAction(page, "laptop", "Revoke");
		await asking(page, "Revoke").getByRole("link", { name: "Cancel" }).click();
		await expect(page).toHaveURL("/settings/tokens");
		expect(await opens(server, token)).toBe(true);
	});

	test("rotated: both work until the old one is revoked", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const old = await generated(page, "laptop");
		await chooseAction(page, "laptop", "Rotate");
		const dialog = asking(page, "Rotate");
		const name = dialog.getByLabel("Name of the new one");
		await expect(name).toHaveValue(/^laptop \(rotated \d{4}-\d\d-\d\d\)$/);
		await expect(dialog.getByRole("radio", { name: "90 days" })).toBeChecked();
		await name.fill("laptop 2");
		await dialog.getByRole("button", { name: "Rotate token" }).click();
		const successor = await shown(page);
		await done(page);
		await page.goto("/settings/tokens");
		await expect(row(page, "laptop 2")).toContainText("Succeeds laptop");
		await expect(row(page, "laptop")).toContainText("The new token hasn’t been used yet");
		expect([await opens(server, old), await opens(server, successor)]).toEqual([true, true]);
		await page.reload();
		await expect(row(page, "laptop")).toContainText("Old one still in use");
		await revoke(page, "laptop");
		expect([await opens(server, old), await opens(server, successor)]).toEqual([false, true]);
	});

	test("found by text, state and order", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const token = await generated(page, "alpha");
		const make = (name: string) =>
			server.api<{ id: number }>("POST", "/api/user-tokens", { name, expires_in_days: 30 }, token);
		await make("beta");
		const { id } = await make("gamma");
		await server.api("PUT", `/api/user-tokens/${id}`, { revoke: true }, token);
		const names = () => page.getByRole("rowheader").getByRole("link", { name: /^(alpha|beta|gamma)$/ });

		await page.goto("/settings/tokens");
		await expect(names()).toHaveText(["gamma", "beta", "alpha"]);
		await page.getByRole("columnheader", { name: "Token" }).getByRole("link").click();
		await expect(names()).toHaveText(["alpha", "beta", "gamma"]);
		await expect(page.getByRole("columnheader", { name: "Token" })).toHaveAttribute("aria-sort", "ascending");
		await page.getByRole("link", { name: "Revoked 1" }).click();
		await expect(names()).toHaveText(["gamma"]);
		await page.getByRole("link", { name: "All 3" }).click();
		await page.getByRole("searchbox").fill("eta");
		await page.getByRole("searchbox").press("Enter");
		await expect(names()).toHaveText(["beta"]);
		await page.getByRole("searchbox").fill("nothing like it");
		await page.getByRole("searchbox").press("Enter");
		await expect(names()).toHaveCount(0);
		await expect(page.getByRole("main")).toContainText(/no token/i);
	});

	test("one token in detail, and what it has made", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		const token = await generated(page, "laptop");
		await server.api("POST", "/api/user-tokens", { name: "made by it", expires_in_days: 30 }, token);
		await page.goto("/settings/tokens");
		await row(page, "laptop").getByRole("link", { name: "laptop", exact: true }).click();
		await expect(page.getByRole("heading", { name: "laptop", level: 1 })).toBeVisible();
		await page.getByRole("main").getByRole("link", { name: "made by it" }).click();
		await expect(page.getByRole("heading", { name: "made by it", level: 1 })).toBeVisible();
		await expect(page.getByRole("main").getByRole("link", { name: "laptop", exact: true })).toBeVisible();
	});
});

test("what is possible with one token is offered in its details, too", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	const token = await generated(page, "laptop");
	await row(page, "laptop").getByRole("link", { name: "laptop", exact: true }).click();
	await page.getByRole("main").getByRole("link", { name: /^Revoke/ }).click();
	await asking(page, "Revoke").getByRole("button", { name: "Revoke token" }).click();
	await expect(toast(page)).toContainText("The token has been successfully revoked");
	expect(await opens(server, token)).toBe(false);
});

test("revoked with everything that was made with it", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	const token = await generated(page, "stolen");
	const made = await server.api<{ bearer_token: string }>(
		"POST",
		"/api/user-tokens",
		{ name: "by the thief", expires_in_days: null },
		token,
	);
	await page.goto("/settings/tokens");
	await chooseAction(page, "stolen", "Revoke");
	await asking(page, "Revoke").getByRole("checkbox").check();
	await asking(page, "Revoke").getByRole("button", { name: /Revoke/ }).click();
	await expect(toast(page)).toContainText("The token and those made with it have been successfully revoked");
	expect([await opens(server, token), await opens(server, made.bearer_token)]).toEqual([false, false]);
});

test("a Member sees no service tokens", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	await page.goto("/settings/tokens");
	await expect(page.getByRole("link", { name: /^Service/ })).toHaveCount(0);
	const answer = await page.goto("/settings/tokens/service");
	expect(answer?.status()).toBe(403);
	await expect(page.getByRole("heading", { name: "This isn’t yours to do" })).toBeVisible();
});

test("what is typed narrows the list at once", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	const token = await generated(page, "alpha");
	await server.api("POST", "/api/user-tokens", { name: "beta", expires_in_days: 30 }, token);
	await page.goto("/settings/tokens");
	await page.getByRole("searchbox").pressSequentially("bet");
	await expect(row(page, "alpha")).toHaveCount(0);
	await expect(row(page, "beta")).toBeVisible();
	await expect(page).toHaveURL(/q=bet/);
});

test("hostile names are text", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	const token = await generated(page, "first");
	const names = ['<script>alert(1)</script>"\'>', "تقارير\u202Egpj.exe", "🚀".repeat(255), "<img src=x onerror=alert(1)>"];
	for (const name of names) {
		await server.api("POST", "/api/user-tokens", { name, expires_in_days: 30 }, token);
	}
	await page.goto("/settings/tokens");
	for (const name of names) {
		await expect(row(page, name)).toHaveCount(1);
		await chooseAction(page, name, "Details");
		await expect(page.getByRole("heading", { level: 1 })).toContainText(name);
		await page.goBack();
	}
});
