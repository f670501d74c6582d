import type { Page } from "@playwright/test";
import { looksRight } from "../support/looks.ts";
import { PASSWORD } from "../support/server.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";

async function fill(page: Page, userName: string, password: string): Promise<void> {
	await page.getByLabel("User name or e-mail").fill(userName);
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
}

withAndWithoutScripts(() => {
	test("in, out, and back to where one was", async ({ page, server }) => {
		const mia = await server.person("Member", "Mia Member");
		await page.goto("/settings/tokens?state=active");
		await expect(page).toHaveURL(/\/login\?next=/);
		await expect(page.getByLabel("User name or e-mail")).toBeFocused();
		await fill(page, mia.email, PASSWORD);
		await expect(page).toHaveURL("/settings/tokens?state=active");
		await expect(page.getByRole("link", { name: "Your account: Mia Member, Member" })).toBeVisible();
		await page.getByRole("button", { name: "Sign out" }).click();
		await expect(page).toHaveURL("/login");
		await page.goto("/settings/tokens");
		await expect(page).toHaveURL(/\/login/);
		await page.goBack();
		await expect(page.getByRole("link", { name: /Your account/ })).toHaveCount(0);
	});

	test("a wrong password and an unknown account are told alike", async ({ page, server }) => {
		const mia = await server.person("Member");
		const told: string[] = [];
		for (const [userName, password] of [
			[mia.email, "not the password"],
			["nobody@example.com", PASSWORD],
		]) {
			await page.goto("/login?next=/settings/tokens");
			await fill(page, userName, password);
			await expect(page.getByLabel("User name or e-mail")).toHaveValue(userName);
			await expect(page.getByLabel("Password")).toHaveValue("");
			await expect(page.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
			await expect(page.getByLabel("Password")).toBeFocused();
			await expect(page.getByLabel("Password")).toHaveAccessibleDescription(/./);
			told.push(await page.getByRole("main").innerText());
		}
		expect(told[0]).toBe(told[1]);
		await fill(page, mia.email, PASSWORD);
		await expect(page).toHaveURL("/settings/tokens");
	});

	test("an invitation lets somebody choose a password, once", async ({ page, server }) => {
		const { link, name, email } = await server.invite("Manager", "Ivy Invited");
		await page.goto(link);
		await expect(page.getByText("Ivy Invited")).toBeVisible();
		await expect(page.getByLabel("You sign in as")).toHaveValue(email);
		await page.getByLabel("Password").fill("short");
		await page.getByRole("button", { name: /Set password/ }).click();
		await expect(page.getByLabel("Password")).toHaveAccessibleDescription(/at least 12 characters/);
		await page.getByLabel("Password").fill(PASSWORD);
		await page.getByRole("button", { name: /Set password/ }).click();
		await expect(page.getByRole("link", { name: `Your account: ${name}, Manager` })).toBeVisible();
		await page.goto(link);
		await expect(page.getByRole("heading", { name: "There is nothing here" })).toBeVisible();
	});
});

test("a return address elsewhere is not followed", async ({ page, server }) => {
	const mia = await server.person("Member");
	for (const next of ["https://evil.example/", "//evil.example", "/\\evil.example", "/%09/evil.example"]) {
		await page.context().clearCookies();
		await page.goto(`/login?next=${encodeURIComponent(next)}`);
		await fill(page, mia.email, PASSWORD);
		await expect(page.getByRole("link", { name: /Your account/ })).toBeVisible();
		expect(new URL(page.url()).origin).toBe(server.origin);
	}
});

test("the pages look right", async ({ page, server }) => {
	await page.goto("/login");
	await looksRight(page, "login");
	await page.goto("/login?next=/settings/tokens&unsaved=yes");
	await expect(page.getByText(/nothing was saved/)).toBeVisible();
	await looksRight(page, "login-unsaved");
	await fill(page, "nobody@example.com", PASSWORD);
	await expect(page.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
	await looksRight(page, "login-wrong");
	const { link } = await server.invite("Member");
	await page.goto(link);
	await looksRight(page, "invitation");
});
