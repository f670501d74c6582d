import { readFileSync } from "node:fs";
import type { Page } from "@playwright/test";
import type { Server } from "../support/server.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";
import { type Token, generate, opens, shown } from "../support/tokens.ts";

async function openDialog(page: Page): Promise<void> {
	await page.goto("/settings/tokens");
	await page.getByRole("link", { name: "Generate token" }).first().click();
	await expect(page.getByLabel("Name", { exact: true })).toBeFocused();
}

/** The names of the tokens of whoever owns this one. */
async function namesBeside(server: Server, token: string): Promise<string[]> {
	const tokens = await server.api<Token[]>("GET", "/api/user-tokens", undefined, token);
	return tokens.map(({ name }) => name);
}

withAndWithoutScripts(() => {
	test("a personal token, shown once", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		await openDialog(page);
		await expect(page.getByRole("radio", { name: "Service" })).toHaveCount(0);
		await expect(page.getByRole("checkbox", { name: /SCIM/ })).toHaveCount(0);
		const token = await generate(page, "laptop");
		expect(await opens(server, token)).toBe(true);
		expect(page.url()).not.toContain(token);
		await expect(page.getByText("This is the only time you see it.")).toBeVisible();

		await page.goBack();
		await expect(page.locator("body")).not.toContainText(token);
		// The browser has kept nothing that it could show, and would have to ask before it sends the form again.
		await expect(page.goForward()).rejects.toThrow("ERR_CACHE_MISS");
		expect(await namesBeside(server, token)).toEqual(["laptop"]);
	});

	test("loading again makes no second one and shows nothing", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		await openDialog(page);
		const token = await generate(page, "laptop");
		page.on("dialog", (dialog) => void dialog.accept());
		await page.reload();
		await expect(page.getByText("laptop").first()).toBeVisible();
		expect(await page.content()).not.toContain(token);
		expect(await namesBeside(server, token)).toEqual(["laptop"]);
	});

	test("what is wrong is told at the field, and the rest is kept", async ({ page, server, signedInAs }) => {
		await signedInAs("Member");
		await openDialog(page);
		const token = await generate(page, "laptop", "30 days");
		await openDialog(page);
		const dialog = page.getByRole("dialog", { name: "Generate token" });
		const name = dialog.getByLabel("Name", { exact: true });
		for (const [typed, message] of [
			["   ", /empty/],
			["laptop", /already have a token with this name/],
		] as const) {
			await name.fill(typed);
			await dialog.getByText("60 days", { exact: true }).click();
			await dialog.getByRole("button", { name: "Generate token" }).click();
			await expect(name).toHaveAccessibleDescription(message);
			await expect(name).toHaveAttribute("aria-invalid", "true");
			await expect(name).toBeFocused();
			await expect(dialog.getByRole("radio", { name: "60 days" })).toBeChecked();
		}
		await expect(name).toHaveValue("laptop");
		expect(await namesBeside(server, token)).toEqual(["laptop"]);
	});

	test("a lifetime is spelled out, and Never is warned of", async ({ page, signedInAs }) => {
		await signedInAs("Member");
		await openDialog(page);
		const dialog = page.getByRole("dialog", { name: "Generate token" });
		await dialog.getByText("30 days", { exact: true }).click();
		await expect(dialog.getByText(/^Stops working on /).filter({ visible: true })).toHaveCount(1);
		await dialog.getByText("Never", { exact: true }).click();
		await expect(dialog.getByText(/^Stops working on /).filter({ visible: true })).toHaveCount(0);
		await expect(dialog.getByText(/until somebody revokes it/)).toBeVisible();
	});

	test("a service token and a SCIM token, by an Admin", async ({ page, server, signedInAs }) => {
		await signedInAs("Admin");
		const user = await server.service(`Build Farm ${Date.now()}`);
		await openDialog(page);
		const dialog = page.getByRole("dialog", { name: "Generate token" });
		await dialog.getByRole("radio", { name: /^Service/ }).check();
		await dialog.getByRole("combobox", { name: "Service user" }).fill(user.user_id);
		const token = await generate(page, "deploy");
		await expect(page.getByRole("dialog")).toContainText(user.user_id);
		const me = await server.api<{ user_id: string }>("GET", "/api/users/me", undefined, token);
		expect(me.user_id).toBe(user.user_id);

		await openDialog(page);
		await dialog.getByText("SCIM Administration Token").click();
		const scim = await generate(page, "directory");
		expect(await opens(server, scim)).toBe(false);
	});
});

test("a double click makes one token", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	await openDialog(page);
	const dialog = page.getByRole("dialog", { name: "Generate token" });
	await dialog.getByLabel("Name", { exact: true }).fill("laptop");
	let sent = 0;
	page.on("request", (request) => (sent += request.method() === "POST" ? 1 : 0));
	await dialog.getByRole("button", { name: "Generate token" }).dblclick();
	const token = await shown(page);
	expect(sent).toBe(1);
	expect(await namesBeside(server, token)).toEqual(["laptop"]);
});

test("as many emoji can be typed as a name may have", async ({ page, server, signedInAs }) => {
	await signedInAs("Member");
	await openDialog(page);
	await page.keyboard.insertText("🚀".repeat(255));
	await page.getByRole("button", { name: "Generate token" }).click();
	expect(await namesBeside(server, await shown(page))).toEqual(["🚀".repeat(255)]);
});

test.describe("what is shown once", () => {
	test.beforeEach(async ({ context, page, server, signedInAs }) => {
		await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.origin });
		await signedInAs("Member");
		await openDialog(page);
	});

	test("is masked until it is revealed", async ({ page }) => {
		await generate(page, "laptop");
		const secret = page.getByRole("dialog").getByLabel("Token", { exact: true });
		await expect(secret).toHaveCSS("-webkit-text-security", "disc");
		await page.getByText("Reveal").click();
		await expect(secret).toHaveCSS("-webkit-text-security", "none");
	});

	test("is copied, and then closing doesn't ask", async ({ page }) => {
		const token = await generate(page, "laptop");
		await expect(page.getByRole("button", { name: "Copy", exact: true })).toBeFocused();
		await page.getByRole("button", { name: "Copy", exact: true }).click();
		await expect(page.getByRole("button", { name: "Copied" })).toBeVisible();
		expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token);
		await page.getByRole("link", { name: "Done" }).click();
		await expect(page).toHaveURL("/settings/tokens");
		expect(await page.content()).not.toContain(token);
	});

	for (const [name, file] of [
		["laptop", "laptop-token.txt"],
		["../../etc/<script>alert(1)</script>", "_.._etc__script_alert(1)__script_-token.txt"],
		["تقارير\u202Egpj.exe", /-token\.txt$/],
		["🚀".repeat(255), /^(🚀){50}-token\.txt$/u],
	] as const) {
		test(`is downloaded: ${name.slice(0, 20)}`, async ({ page }) => {
			const token = await generate(page, name);
			const [download] = await Promise.all([
				page.waitForEvent("download"),
				page.getByRole("button", { name: "Download" }).click(),
			]);
			expect(download.suggestedFilename()).toEqual(typeof file === "string" ? file : expect.stringMatching(file));
			expect(download.suggestedFilename()).not.toMatch(/[/\\\u202A-\u202E\u2066-\u2069<>]/u);
			expect(readFileSync(await download.path(), "utf8")).toBe(`${token}\n`);
			await page.getByRole("link", { name: "Done" }).click();
			await expect(page).toHaveURL("/settings/tokens");
		});
	}

	test("is asked for before it is closed unsaved", async ({ page }) => {
		const token = await generate(page, "laptop");
		const leave = page.getByRole("dialog", { name: "Close without saving" });
		for (const close of [
			() => page.getByRole("link", { name: "Done" }).click(),
			() => page.getByRole("link", { name: "Close", exact: true }).click(),
			() => page.keyboard.press("Escape"),
		]) {
			await close();
			await expect(leave).toBeVisible();
			await expect(leave.getByRole("button", { name: "Back to the token" })).toBeFocused();
			await leave.getByRole("button", { name: "Back to the token" }).click();
			await expect(leave).toBeHidden();
			expect(await shown(page)).toBe(token);
		}
		await page.getByRole("link", { name: "Done" }).click();
		await leave.getByRole("link", { name: "Close anyway" }).click();
		await expect(page).toHaveURL("/settings/tokens");
		expect(await page.content()).not.toContain(token);
	});

	test("comes with a line to try it", async ({ page, server }) => {
		await generate(page, "laptop");
		await expect(page.getByLabel("Example request")).toContainText(server.origin);
		await page.getByRole("button", { name: "Copy line" }).click();
		const line = await page.evaluate(() => navigator.clipboard.readText());
		expect(line).toMatch(/^curl -H "Authorization: Bearer \$TOKEN"/);
	});
});
