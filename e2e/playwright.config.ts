import { delimiter, join } from "node:path";
import { existsSync } from "node:fs";
import { defineConfig } from "@playwright/test";
import { target } from "./support/build.ts";

/** Debian's Chromium as it is built for automation, which is what Playwright expects: nothing is downloaded. */
function chromium(): string {
	const name = "chromium-headless-shell";
	const files = (process.env.PATH ?? "").split(delimiter).map((folder) => join(folder, name));
	const found = files.find((file) => existsSync(file));
	if (!found) throw new Error(`there is no ${name} on the PATH; \`cargo xtask install\` installs it`);
	return found;
}

export default defineConfig({
	testDir: "tests",
	outputDir: join(target, "e2e"),
	forbidOnly: true,
	retries: 0,
	workers: 2,
	fullyParallel: true,
	reporter: "list",
	// For machines that are busy; a page answers in milliseconds.
	timeout: 120_000,
	expect: { timeout: 15_000 },
	use: {
		browserName: "chromium",
		launchOptions: { executablePath: chromium() },
		locale: "en-GB",
		timezoneId: "Europe/Berlin",
		// What moves can't be clicked, and without scripts it is never known to have stopped.
		contextOptions: { reducedMotion: "reduce" },
		trace: "retain-on-failure",
	},
});
