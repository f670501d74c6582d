import { AxeBuilder } from "@axe-core/playwright";
import { type Page, expect } from "@playwright/test";
import { join } from "node:path";
import { screenshots } from "./build.ts";

/** The narrowest screen that everything has to fit on, in CSS pixels. */
const NARROWEST = 360;

/**
 * What holds for every page in every state: axe finds nothing in either colour scheme, nothing sticks out on the
 * narrowest screen. Leaves pictures of it, called `name`.
 */
export async function looksRight(page: Page, name: string): Promise<void> {
	const size = page.viewportSize();
	for (const colorScheme of ["light", "dark"] as const) {
		await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
		for (const width of [1280, 390, NARROWEST]) {
			await page.setViewportSize({ width, height: width === 1280 ? 900 : 844 });
			if (width === NARROWEST) {
				expect(await overflow(page), `${name}: what sticks out at ${width} px`).toEqual([]);
				continue;
			}
			expect(await violations(page), `${name}: axe at ${width} px, ${colorScheme}`).toEqual([]);
			const path = join(screenshots, `${name}-${width}-${colorScheme}.png`);
			await page.screenshot({ path, fullPage: true });
		}
	}
	await page.emulateMedia({ colorScheme: null, reducedMotion: null });
	if (size) await page.setViewportSize(size);
}

async function violations(page: Page): Promise<string[]> {
	const { violations } = await new AxeBuilder({ page }).analyze();
	return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html}\n${node.failureSummary}`));
}

/** The page itself must not scroll sideways; tables and code may, within themselves. */
function overflow(page: Page): Promise<string[]> {
	return page.evaluate(() => {
		const { clientWidth, scrollWidth } = document.documentElement;
		if (scrollWidth <= clientWidth) return [];
		const wide = [...document.body.querySelectorAll("*")].filter((element) => {
			const { right, left, width } = element.getBoundingClientRect();
			return width > 0 && (right > clientWidth + 1 || left < -1);
		});
		return wide.map((element) => element.outerHTML.slice(0, 120));
	});
}
