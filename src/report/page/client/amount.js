// Exact decimals as text.  What is printed is never a double: sums are made of
// integers, and only drawing asks for `number`.
const amount = (() => {
	const digitsOf = text => (text.split('.')[1] ?? '').length;

	// Integer of so many decimal places: units('-1.5', 2) is -150n.
	function units(text, digits) {
		const [whole, fraction = ''] = text.split('.');
		return BigInt(whole + fraction.padEnd(digits, '0'));
	}

	// Text of an integer of so many decimal places.
	function text(value, digits) {
		const sign = value < 0n ? '-' : '';
		const all = String(value < 0n ? -value : value).padStart(digits + 1, '0');
		return sign + (digits ? `${all.slice(0, -digits)}.${all.slice(-digits)}` : all);
	}

	const wide = (...texts) => Math.max(0, ...texts.map(digitsOf));

	function sum(texts) {
		const digits = wide(...texts);
		return text(texts.reduce((total, each) => total + units(each, digits), 0n), digits);
	}

	function minus(a, b) {
		const digits = wide(a, b);
		return text(units(a, digits) - units(b, digits), digits);
	}

	// Below, equal or above zero as a and b compare; null is below everything.
	function compare(a, b) {
		if (a === null || b === null)
			return (a !== null) - (b !== null);
		const digits = wide(a, b), difference = units(a, digits) - units(b, digits);
		return difference < 0n ? -1 : difference > 0n ? 1 : 0;
	}

	// A quotient to so many places, half away from zero; null where b is not above zero.
	function ratio(a, b, places) {
		const digits = wide(a, b), divisor = units(b, digits);
		if (divisor <= 0n)
			return null;
		const doubled = 2n * units(a, digits) * 10n ** BigInt(places);
		return text((doubled < 0n ? doubled - divisor : doubled + divisor) / (2n * divisor), places);
	}

	// The bounds of ten equal steps from lowest to highest, rounded down for reading.
	function steps(lowest, highest) {
		const digits = wide(lowest, highest), from = units(lowest, digits), span = units(highest, digits) - from;
		return Array.from({ length: 11 }, (_, step) => text(from + span * BigInt(step) / 10n, digits));
	}

	// A value with at least so many decimal places and no zeros beyond them, or null.
	function tidy(value, places = 0) {
		if (value === null)
			return null;
		const [whole, fraction = ''] = value.split('.'), shown = fraction.replace(/0+$/, '').padEnd(places, '0');
		return shown === '' ? whole : `${whole}.${shown}`;
	}

	const grouped = value => value.replace(/^(-?\d+)/, whole => whole.replace(/\B(?=(\d{3})+$)/g, ','));

	// A fraction as a percentage, with all its digits: 0.2293 is 22.93 %.
	function percent(value) {
		const digits = Math.max(2, wide(value));
		return `${text(units(value, digits), digits - 2)}\u202f%`;
	}

	return { sum, minus, compare, ratio, steps, tidy, grouped, percent, isZero: value => /^-?[0.]*$/.test(value), number: Number };
})();
