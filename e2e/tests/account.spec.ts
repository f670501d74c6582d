import type { Page } from "@playwright/test";
import { PASSWORD } from "../support/server.ts";
import { expect, signIn, test, withAndWithoutScripts } from "../support/test.ts";

const NEW = "another battery staple horse";

async function logIn(page: Page, email: string, password: string): Promise<void> {
	await page.goto("/login");
	await page.getByLabel("User name or e-mail").fill(email);
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
}

withAndWithoutScripts(() => {
	test("the password is changed, and other sessions end", async ({ page, signedInAs, elsewhere }) => {
		const mia = await signedInAs("Member");
		const other = await elsewhere();
		await page.goto("/settings/account");
		await logIn(other, mia.email, PASSWORD);
		const present = page.getByLabel("Present password");
		const chosen = page.getByLabel("New password");
		await present.fill("not the password");
		await chosen.fill(NEW);
		await page.getByRole("button", { name: "Change password" }).click();
		await expect(present).toHaveAttribute("aria-invalid", "true");
		await expect(present).toBeFocused();
		await expect(present).toHaveValue("");
		await present.fill(PASSWORD);
		await chosen.fill("short");
		await page.getByRole("button", { name: "Change password" }).click();
		await expect(chosen).toHaveAccessibleDescription(/at least 12 characters/);
		await present.fill(PASSWORD);
		await chosen.fill(NEW);
		await page.getByRole("button", { name: "Change password" }).click();
		await expect(page.getByRole("status").filter({ hasText: /password/i })).toBeVisible();

		await other.goto("/settings/account");
		await expect(other).toHaveURL(/\/login/);
		await logIn(other, mia.email, PASSWORD);
		await expect(other.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
		await logIn(other, mia.email, NEW);
		await expect(other.getByRole("link", { name: /Your account/ })).toBeVisible();
	});

	test("a session elsewhere is ended, and all of them", async ({ page, server, signedInAs, elsewhere }) => {
		const mia = await signedInAs("Member");
		const other = await elsewhere();
		await logIn(other, mia.email, PASSWORD);
		await page.goto("/settings/account");
		const sessions = page.getByRole("table").getByRole("row").filter({ has: page.getByRole("rowheader") });
		await expect(sessions).toHaveCount(2);
		await expect(sessions.filter({ hasText: "This browser" })).toHaveCount(1);
		await sessions.getByRole("button", { name: /^Sign out/ }).click();
		await expect(sessions).toHaveCount(1);
		await other.goto("/settings/account");
		await expect(other).toHaveURL(/\/login/);

		await logIn(other, mia.email, PASSWORD);
		await page.getByRole("button", { name: "Sign out everywhere" }).click();
		await expect(page).toHaveURL("/login");
		await other.goto("/settings/account");
		await expect(other).toHaveURL(/\/login/);
		await signIn(page.context(), server, mia);
		await page.goto("/settings/account");
		await expect(page).toHaveURL(/\/login/);
	});

	test("a form that comes too late is told, not lost silently", async ({ page, signedInAs }) => {
		const mia = await signedInAs("Member");
		await page.goto("/settings/account");
		await page.context().clearCookies();
		await page.getByLabel("Present password").fill(PASSWORD);
		await page.getByLabel("New password").fill(NEW);
		await page.getByRole("button", { name: "Change password" }).click();
		await expect(page.getByText(/nothing was saved/)).toBeVisible();
		await page.getByLabel("User name or e-mail").fill(mia.email);
		await page.getByLabel("Password").fill(PASSWORD);
		await page.getByRole("button", { name: "Sign in" }).click();
		await expect(page).toHaveURL("/settings/account");
	});
});
