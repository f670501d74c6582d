import { readFileSync } from "node:fs";
import { looksRight } from "../support/looks.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";
import { generated } from "../support/tokens.ts";

withAndWithoutScripts(() => {
	test("a finding is mended, and what is left is signed off", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin", "Mara Lindqvist");
		const name = `Robot ${Date.now()}`;
		const user = await server.service(name);
		const ending = `ends-${Date.now()}`;
		const token = await server.token(ending, user.id);
		await page.goto("/settings/reviews?rule=expiring");
		const row = page.getByRole("row").filter({ hasText: ending });
		await expect(row).toContainText(user.user_id);
		await row.getByRole("link", { name: /Rotate/ }).click();
		await expect(page.getByRole("dialog")).toContainText(ending);
		await page.getByText("After 7 quiet days").click();
		await page.getByRole("button", { name: "Rotate token" }).click();
		await page.goto(`/settings/tokens/${token.id}`);
		await expect(page.getByText(/revoked by itself once nobody has used it for 168 hours/)).toBeVisible();
		await page.getByRole("button", { name: /Don’t revoke it by itself/ }).click();
		await expect(page.getByRole("button", { name: "Revoke after 24 quiet hours" })).toBeVisible();

		await page.goto("/settings/reviews");
		await page.getByRole("button", { name: "Sign off this review" }).click();
		await expect(page.getByLabel("Comment")).toHaveAttribute("aria-invalid", "true");
		const comment = `looked at all of it ${Date.now()}`;
		await page.getByLabel("Comment").fill(comment);
		await page.getByRole("button", { name: "Sign off this review" }).click();
		await expect(page.getByRole("listitem").filter({ hasText: comment })).toContainText("Mara Lindqvist");
		const downloading = page.waitForEvent("download");
		await page.getByRole("link", { name: "CSV" }).click();
		expect(readFileSync(await (await downloading).path(), "utf8")).toContain(name);
	});

	test("policies are changed, and what is wrong is told", async ({ page, signedInAs }) => {
		await signedInAs("Admin", "Mara Lindqvist");
		await page.goto("/settings/policies");
		const window = page.getByLabel("A revoke can be undone for so many days");
		await window.fill("soon");
		await page.getByRole("button", { name: "Save policies" }).click();
		await expect(window).toHaveValue("soon");
		await expect(window).toHaveAttribute("aria-invalid", "true");
		await window.fill("3650");
		await page.getByRole("button", { name: "Save policies" }).click();
		await expect(page.getByText("The policies have been saved")).toBeVisible();
		await expect(window).toHaveValue("3650");
	});
});

test("reviews, policies and plans look right", async ({ page, server, signedInAs }) => {
	test.slow();
	await signedInAs("Admin", "Mara Lindqvist");
	const name = "Kundendatenabgleich und Stammdatenpflege Produktion";
	const user = await server.service(`${name} ${Date.now()}`);
	const token = await server.token("abgleich-hauptlauf-mandant-0417-nächtlicher-vollabzug", user.id);
	for (const text of ["🚀".repeat(255), "مفتاح التقارير الشهرية (v2)"]) {
		await server.token(text, user.id);
	}
	const own = await generated(page, "api-key");
	const service = { name: "expires-soon", user_id: user.id, expires_in_days: 5 };
	await server.api("POST", "/api/user-tokens", service, own);
	await server.api("PUT", `/api/users/${user.id}`, { role: "Admin", owner: "platform team, #platform" }, own);
	const gone = await server.service(`Old Backup ${Date.now()}`);
	await server.token("volume-snapshots", gone.id);
	await server.api("DELETE", `/api/users/${gone.id}`, undefined, own);
	await page.goto("/settings/reviews");
	await looksRight(page, "reviews");
	await page.getByRole("button", { name: "Sign off this review" }).click();
	await looksRight(page, "reviews-wrong");
	await page.goto("/settings/reviews?rule=expiring");
	await looksRight(page, "reviews-rule");
	await page.goto("/settings/policies");
	await page.getByLabel("Forms begin with so many days").fill("0");
	await page.getByRole("button", { name: "Save policies" }).click();
	await looksRight(page, "policies-wrong");
	await server.api("POST", `/api/user-tokens/${token.id}/rotate`, { close_when_quiet: { hours: 24 } }, own);
	await page.goto(`/settings/tokens/${token.id}`);
	await looksRight(page, "token-details-closing");
});
