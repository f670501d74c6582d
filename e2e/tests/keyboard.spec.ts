import { type Locator, type Page, expect } from "@playwright/test";
import { test, toast } from "../support/test.ts";
import { opens, row } from "../support/tokens.ts";

/** Presses Tab until the element has the focus. */
async function tabTo(page: Page, target: Locator): Promise<void> {
	await expect(target).toHaveCount(1);
	for (let pressed = 0; pressed < 60; pressed++) {
		if (await target.evaluate((element) => element === document.activeElement)) return;
		await page.keyboard.press("Tab");
	}
	throw new Error(`Tab doesn't reach ${target}`);
}

test("generate and revoke without a mouse", async ({ page, context, server, signedInAs }) => {
	await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.origin });
	await signedInAs("Member");
	await page.goto("/settings/tokens");
	await page.keyboard.press("Tab");
	await expect(page.getByRole("link", { name: "Skip to content" })).toBeFocused();
	await page.keyboard.press("Enter");
	await tabTo(page, page.getByRole("main").getByRole("link", { name: "Generate token" }));
	await page.keyboard.press("Enter");

	const dialog = page.getByRole("dialog", { name: "Generate token" });
	await expect(dialog.getByLabel("Name", { exact: true })).toBeFocused();
	await page.keyboard.type("laptop");
	await tabTo(page, dialog.getByRole("radio", { checked: true }));
	await page.keyboard.press("ArrowLeft");
	await expect(dialog.getByRole("radio", { name: "60 days" })).toBeChecked();
	await tabTo(page, dialog.getByRole("button", { name: "Generate token" }));
	await page.keyboard.press("Enter");

	await expect(page.getByRole("button", { name: "Copy", exact: true })).toBeFocused();
	await page.keyboard.press("Enter");
	await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
	const token = await page.evaluate(() => navigator.clipboard.readText());
	await tabTo(page, page.getByRole("checkbox", { name: "Reveal" }));
	await page.keyboard.press("Space");
	await expect(page.getByLabel("Token", { exact: true })).toHaveCSS("-webkit-text-security", "none");
	await tabTo(page, page.getByRole("link", { name: "Done" }));
	await page.keyboard.press("Enter");
	expect(await opens(server, token)).toBe(true);

	await tabTo(page, page.getByRole("button", { name: "Actions for laptop" }));
	await page.keyboard.press("Enter");
	await tabTo(page, row(page, "laptop").getByRole("link", { name: "Revoke" }));
	await page.keyboard.press("Enter");
	const question = page.getByRole("dialog", { name: /^Revoke/ });
	await expect(question.getByRole("link", { name: "Cancel" })).toBeFocused();
	await tabTo(page, question.getByRole("button", { name: "Revoke token" }));
	await page.keyboard.press("Enter");
	await expect(toast(page)).toContainText("The token has been successfully revoked");
	expect(await opens(server, token)).toBe(false);
});

test("Escape closes menu and dialog, and the focus stays inside a dialog", async ({ page, signedInAs }) => {
	await signedInAs("Member");
	await page.goto("/settings/tokens/generate");
	const dialog = page.getByRole("dialog", { name: "Generate token" });
	await expect(dialog.getByLabel("Name", { exact: true })).toBeFocused();
	for (let pressed = 0; pressed < 20; pressed++) {
		await page.keyboard.press("Tab");
		// Between the last and the first element the browser's own buttons have their turn.
		const outside = await page.evaluate(
			() => document.activeElement !== document.body && !document.activeElement?.closest("dialog"),
		);
		expect(outside).toBe(false);
	}
	await page.keyboard.press("Escape");
	await expect(page).toHaveURL("/settings/tokens");
	await page.getByRole("button", { name: "Colour scheme" }).focus();
	await page.keyboard.press("Enter");
	await expect(page.getByRole("button", { name: "Dark" })).toBeVisible();
	await page.keyboard.press("Escape");
	await expect(page.getByRole("button", { name: "Dark" })).toBeHidden();
	await expect(page.getByRole("button", { name: "Colour scheme" })).toBeFocused();
});
