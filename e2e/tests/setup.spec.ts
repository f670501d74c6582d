import { looksRight } from "../support/looks.ts";
import { PASSWORD, Server } from "../support/server.ts";
import { expect, test, withAndWithoutScripts } from "../support/test.ts";

/** A server that nobody has set up yet. */
const fresh = test.extend<{ fresh: Server }>({
	fresh: async ({}, use) => {
		const server = await Server.start({ withAdmin: false });
		await use(server);
		await server.stop();
	},
});

withAndWithoutScripts(() => {
	fresh("the first Admin is made by the printed link, once", async ({ page, fresh }) => {
		const link = fresh.setupLink!;
		await page.goto(link);
		await page.getByLabel("Your name").fill("Ada Lovelace");
		await page.getByLabel("E-mail").fill("ada@example.com");
		await page.getByLabel("Password").fill("short");
		await page.getByRole("button", { name: "Create the first Admin" }).click();
		await expect(page.getByLabel("Password")).toHaveAccessibleDescription(/at least 12 characters/);
		await expect(page.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
		await expect(page.getByLabel("Password")).toBeFocused();
		await expect(page.getByLabel("Your name")).toHaveValue("Ada Lovelace");
		await expect(page.getByLabel("E-mail")).toHaveValue("ada@example.com");
		await expect(page.getByLabel("Password")).toHaveValue("");
		await page.getByLabel("Password").fill(PASSWORD);
		await page.getByRole("button", { name: "Create the first Admin" }).click();
		await expect(page.getByRole("heading", { name: "Tokens", level: 1 })).toBeVisible();
		await expect(page.getByRole("link", { name: "Your account: Ada Lovelace, Admin" })).toBeVisible();
		const again = await page.goto(link);
		expect(again?.status()).toBe(404);
	});
});

fresh("the page looks right", async ({ page, fresh }) => {
	await page.goto(fresh.setupLink!);
	await looksRight(page, "setup");
	await page.getByLabel("Your name").fill("Ada");
	await page.getByLabel("E-mail").fill("ada@example.com");
	await page.getByLabel("Password").fill("short");
	await page.getByRole("button", { name: "Create the first Admin" }).click();
	await expect(page.getByLabel("Password")).toHaveAttribute("aria-invalid", "true");
	await looksRight(page, "setup-wrong");
});
