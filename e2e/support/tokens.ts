import { type Locator, type Page, expect } from "@playwright/test";
import type { Server } from "./server.ts";

/** What the REST API says of a token. */
export interface Token {
	id: number;
	name: string;
	status: "active" | "revoked" | "expired";
}

/** Whether a token opens the API. */
export async function opens(server: Server, token: string): Promise<boolean> {
	const answer = await fetch(`${server.origin}/api/user-tokens/current`, {
		headers: { authorization: `Bearer ${token}` },
	});
	return answer.status === 200;
}

/** The row of a token in a list. */
export function row(page: Page, name: string): Locator {
	return page.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
}

/** Chooses an entry of the menu behind the three dots. */
export async function chooseAction(page: Page, name: string, action: string): Promise<void> {
	await page.getByRole("button", { name: `Actions for ${name}`, exact: true }).click();
	const menu = row(page, name);
	await menu.getByRole("link", { name: action }).or(menu.getByRole("button", { name: action })).click();
}

/** Fills in the open dialog and sends it; the new token is then in front of the reader. */
export async function generate(page: Page, name: string, lifetime = "90 days"): Promise<string> {
	const dialog = page.getByRole("dialog", { name: "Generate token" });
	await dialog.getByLabel("Name", { exact: true }).fill(name);
	await dialog.getByText(lifetime, { exact: true }).click();
	await expect(dialog.getByRole("radio", { name: lifetime })).toBeChecked();
	await dialog.getByRole("button", { name: "Generate token" }).click();
	return shown(page);
}

/** The token that is shown once. */
export async function shown(page: Page): Promise<string> {
	const secret = page.getByRole("dialog", { name: "Token generated" }).getByLabel("Token", { exact: true });
	await expect(secret).toBeVisible();
	// Masked text is rendered as dots, which is what `innerText` would give.
	return (await secret.textContent()) ?? "";
}

/** Leaves the dialog with the new token, saved or not. */
export async function done(page: Page): Promise<void> {
	await page.getByRole("dialog", { name: "Token generated" }).getByRole("link", { name: "Done" }).click();
	// Scripts ask before they let go of what was neither copied nor downloaded.
	const leave = page.getByRole("dialog", { name: "Close without saving" });
	if (await leave.isVisible()) await leave.getByRole("link", { name: "Close anyway" }).click();
	await expect(page.getByRole("dialog")).toHaveCount(0);
}

/** Makes a personal token of whoever is signed in, through the dialog; leaves the list in front of the reader. */
export async function generated(page: Page, name: string): Promise<string> {
	await page.goto("/settings/tokens/generate");
	const token = await generate(page, name);
	await done(page);
	return token;
}
