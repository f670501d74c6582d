import { readFileSync } from "node:fs";
import { looksRight } from "../support/looks.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";

withAndWithoutScripts(() => {
	test("what was done is found, opened and exported", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin", "Mara Lindqvist");
		const user = await server.service(`Robot ${Date.now()}`);
		await page.goto(`/settings/people/users/${user.id}/edit`);
		await page.getByLabel("Name", { exact: true }).fill("=HYPERLINK(1)");
		await page.getByRole("button", { name: "Save" }).click();
		await page.goto("/settings/audit");
		for (const card of ["Active users", "Total actions", "Most active user", "Top category"]) {
			await expect(page.getByText(card, { exact: true })).toBeVisible();
		}
		await expect(page.getByRole("img", { name: /^Actions per day from/ })).toBeVisible();
		await expect(page.getByText(/Chain verified/)).toBeVisible();
		const record = page.getByRole("group").filter({ hasText: "=HYPERLINK(1)" }).first();
		await record.locator("summary").click();
		await expect(record.getByRole("cell", { name: "=HYPERLINK(1)" })).toBeVisible();
		const downloading = page.waitForEvent("download");
		await page.getByRole("link", { name: "Export CSV" }).click();
		const text = readFileSync(await (await downloading).path(), "utf8");
		expect(text).toContain("user.updated");
		expect(text).not.toMatch(/(^|,)"?=HYPERLINK/m);
		await page.getByRole("button", { name: "Verify now" }).click();
		await expect(page.getByText(/Chain verified .*unbroken/)).toBeVisible();
	});
});

test("pages of audit and policies look right", async ({ page, signedInAs }) => {
	test.slow();
	await signedInAs("Admin", "Mara Lindqvist");
	await page.goto("/settings/audit?timeframe=month");
	await page.locator("summary").filter({ hasText: "Mara Lindqvist" }).first().click();
	await looksRight(page, "audit");
	await page.goto("/settings/audit?action=team.deleted&timeframe=week");
	await looksRight(page, "audit-nothing");
	await page.goto("/settings/policies");
	await looksRight(page, "policies");
	await page.getByRole("link", { name: "Alerts" }).click();
	await expect(page.getByRole("heading", { level: 1 })).toHaveText("Alerts");
	await looksRight(page, "alerts");
});

test("what a role may not see is a page that says so", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	await page.goto("/settings/audit");
	await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
	await looksRight(page, "error-403");
});
